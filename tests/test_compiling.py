"""Compiled training passes: refused without a compiler; else the same run, under the same names."""

import copy

import pytest
import torch

from singerid import compiling, run
from singerid.compiling import compiled
from singerid.config import resolve
from singerid.encoders import build_encoder
from singerid.errors import ConfigError, SingeridError
from singerid.faults import explain
from test_train import Runner, assert_same, assert_same_run, tiny


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(run, "save_input_pictures", lambda *a: None)


def eager(monkeypatch):
    """Trace and run without generated code: takes no compiler, and no minutes."""
    true = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **more: true(f, backend="eager", **more))


def test_no_compiler(tmp_path, store, monkeypatch):
    def refuse(*arguments, **more):
        def call(values):
            raise RuntimeError("No working C++ compiler found in torch._inductor\nmore\nlines")

        return call

    monkeypatch.setattr(torch, "compile", refuse)
    runner = Runner(tmp_path / "run", store)
    with pytest.raises(ConfigError) as caught:
        runner(tiny(compile=True))
    assert str(caught.value) == (
        "train.compile: PyTorch's compiler does not work here; found No working C++ compiler "
        "found in torch._inductor; install a C++ compiler (for a GPU: triton), or leave it out"
    )
    monkeypatch.undo()
    runner.said.clear()


def test_a_missing_compiler_is_noticed(monkeypatch, tmp_path):
    """As PyTorch itself finds it: by the environment variable CXX."""
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (str(tmp_path / "none"),))
    monkeypatch.setattr("torch._inductor.config.fx_graph_cache", False)
    with pytest.raises(ConfigError, match=r"train.compile: PyTorch's compiler does not work here"):
        compiling._try_out()
    torch.compiler.reset()


def test_names_weights_and_own_calls_stay(monkeypatch):
    eager(monkeypatch)
    settings = resolve({"encoder": {"kind": "resnet", "depth": 10, "channels": 8, "dim": 8}})
    encoder = build_encoder(settings.encoder, 20)
    other = copy.deepcopy(encoder)
    fast = compiled(encoder)
    assert list(encoder.state_dict()) == list(other.state_dict())
    features = torch.rand(4, 24, 20)
    fast(features).sum().backward()
    other(features).sum().backward()
    for (name, a), (_, b) in zip(encoder.named_parameters(), other.named_parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)


@pytest.mark.slow
def test_a_compiled_run_goes_on_exactly(tmp_path, store, monkeypatch):
    """It uses the compiled passes for training and no others, and keeps files of the same names."""
    eager(monkeypatch)
    calls = []

    def counted(encoder):
        forward = compiled(encoder)

        def call(features):
            assert encoder.training
            calls.append(len(features))
            return forward(features)

        return call

    monkeypatch.setattr("singerid.train.compiled", counted)
    plain, whole, parts = (Runner(tmp_path / name, store) for name in ("plain", "whole", "parts"))
    plain()
    assert calls == []
    whole(tiny(compile=True))
    assert calls == [4] * 10
    parts(tiny(compile=True, steps=4))
    parts(tiny(compile=True), resume=True)
    assert_same_run(parts, whole)
    assert_same(list(whole.state()["state_dict"]), list(plain.state()["state_dict"]))


def test_an_encoder_that_cannot_be_compiled(tmp_path):
    error = torch._dynamo.exc.InternalTorchDynamoError("CppCompileError: C++ compile error\nmore")
    assert str(explain(error, tmp_path, 1)) == (
        "step 1: the encoder cannot be compiled; found CppCompileError: C++ compile error; leave "
        "it out: --train.compile false, then: start again with --overwrite (there is no "
        "checkpoint yet)"
    )
    assert isinstance(explain(error, tmp_path, 1), SingeridError)
