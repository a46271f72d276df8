"""Adapters of known corpora on miniature trees in exactly their published layouts."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from singerid import corpora
from singerid.corpora import damp, jvs_music, lhotse, vctk, vocalset
from singerid.errors import ConfigError, ManifestError
from singerid.manifest import Scan, Source, build
from singerid.records import Recording
from singerid.sections import ManifestSettings


def plant(root: Path, *names: str) -> Path:
    """Empty files: scan() opens no audio."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def sung(path: Path, seed: int, channels: int = 1) -> None:
    """A tenth of a second of noise, another for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.1, 0.1, (1600, channels))
    soundfile.write(path, noise, 16000)


def ids(found: Scan) -> list[str]:
    return [source.id for source in found.sources]


def only(found: Scan) -> Source:
    assert not found.problems, found.problems
    (source,) = found.sources
    return source


def problem(found: Scan) -> str:
    (error,) = found.problems
    return str(error)


# VocalSet -------------------------------------------------------------------------------------

VOCALSET = [
    "FULL/female1/arpeggios/belt/f1_arpeggios_belt_c_a.wav",
    "FULL/female1/excerpts/straight/f1_caro_straight.wav",
    "FULL/female1/long_tones/straight/f1_long_straight_a.wav",
    "FULL/female1/scales/lip_trill/f1_scales_lip_trill_i.wav",
    "FULL/female1/scales/slow_forte/f1_scales_c_slow_forte_u.wav",
    "FULL/male11/arpeggios/vocal_fry/m11_arpeggios_vocal_fry_e.wav",
    "FULL/male11/scales/straight/scales_straight_o.wav",
]


def test_vocalset_takes_the_original_techniques_of_scales_and_arpeggios(tmp_path: Path) -> None:
    found = corpora.scan("vocalset", plant(tmp_path, "FULL/.DS_Store", "notes.pdf", *VOCALSET))
    assert not found.problems
    assert ids(found) == [
        "female1/arpeggios/belt/f1_arpeggios_belt_c_a",
        "female1/scales/lip_trill/f1_scales_lip_trill_i",
        "male11/arpeggios/vocal_fry/m11_arpeggios_vocal_fry_e",
        "male11/scales/straight/scales_straight_o",
    ]
    assert [s.singer for s in found.sources] == ["vocalset:f1"] * 2 + ["vocalset:m11"] * 2
    assert found.sources[1].labels == {
        "corpus": "vocalset", "kind": "singing", "gender": "F", "technique": "lip_trill",
        "context": "scales", "vowel": "i", "song": "scales",
    }  # fmt: skip
    assert found.sources[3].labels["gender"] == "M"


def test_vocalset_options_widen_the_choice(tmp_path: Path) -> None:
    plant(tmp_path, *VOCALSET)
    options = corpora.parse_options(
        "vocalset", ["techniques=all", "include_songs=true", "include_long_tones=true"]
    )
    found = corpora.scan("vocalset", tmp_path, **options)
    assert len(found.sources) == len(VOCALSET)
    excerpt = next(s for s in found.sources if s.labels["context"] == "excerpts")
    assert excerpt.labels["song"] == "caro"
    assert "vowel" not in excerpt.labels
    few = corpora.scan("vocalset", tmp_path, techniques=("slow_forte",))
    assert [s.labels["technique"] for s in few.sources] == ["slow_forte"]


def test_vocalset_copies_of_the_same_audio_are_read_once(tmp_path: Path) -> None:
    plant(tmp_path, VOCALSET[0], VOCALSET[0].replace("FULL", "data_by_singer"))
    assert len(corpora.scan("vocalset", tmp_path).sources) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("female1/scales/growl/f1_scales_growl_a.wav", "unknown technique; found growl; .*belt"),
        ("female10/scales/belt/f10_scales_belt_a.wav", "unknown singer; found f10; expected f1"),
        ("female1/hums/belt/f1_hums_belt_a.wav", "unknown context; found hums"),
        ("male8/excerpts/vibrato/m9_caro_vibrato.wav", "say two singers; found m9; expected m8"),
        (
            "female9/arpeggios/fast_forte/arps_fast_piano_c.wav",
            "say two techniques; found fast_piano; expected fast_forte",
        ),
        ("male1/excerpts/straight/m1_hymn_straight.wav", "unknown excerpt; found m1_hymn_straight"),
        (
            "male1/straight.wav",
            "does not fit the corpus; found male1/straight.wav; expected <root>",
        ),
    ],
)
def test_vocalset_refuses(tmp_path: Path, name: str, message: str) -> None:
    found = corpora.scan("vocalset", plant(tmp_path, name, VOCALSET[0].removeprefix("FULL/")))
    assert len(found.sources) == 1
    with pytest.raises(ManifestError, match=message):
        raise found.problems[0]


@pytest.mark.parametrize(
    ("name", "technique", "vowel"),
    [
        ("female2/arpeggios/vibrado/f2_arpeggios_vibrato_e.wav", "vibrato", "e"),
        ("female2/scales/vibrato/f2_scales_vibrato_a(1).wav", "vibrato", "a"),
        ("male1/scales/straight/m1_straight_tone_scales_u.wav", "straight", "u"),
        ("male2/scales/slow_forte/m2_scales_f_sow_forte_o.wav", "slow_forte", "o"),
        ("female2/arpeggios/lip_trill/lip_trill_arps.wav", "lip_trill", ""),
        ("male3/scales/trillo/m3_scales_trillo_i.wav", "trillo", "i"),
    ],
)
def test_vocalset_slips_of_the_published_archive(
    tmp_path: Path, name: str, technique: str, vowel: str
) -> None:
    source = only(corpora.scan("vocalset", plant(tmp_path, name), techniques=("all",)))
    assert source.labels["technique"] == technique
    assert source.labels.get("vowel", "") == vowel


def test_vocalset_balance_draws_equally_and_repeatably(tmp_path: Path) -> None:
    for singer, folder in (("f1", "female1"), ("m2", "male2")):
        for technique, vowels in (("belt", "aeiou"), ("breathy", "aei"), ("straight", "aeio")):
            for vowel in vowels:
                name = f"{folder}/scales/{technique}/{singer}_scales_{technique}_{vowel}.wav"
                plant(tmp_path, name)
    found = corpora.scan("vocalset", tmp_path, balanced=True, seed=3)
    groups = [(s.singer, s.labels["technique"]) for s in found.sources]
    assert {groups.count(group) for group in groups} == {3}
    assert len(set(groups)) == 6
    assert ids(found) == sorted(ids(found))
    everything = corpora.scan("vocalset", tmp_path).sources
    again = vocalset.balance(everything[::-1], seed=3)
    assert sorted(s.id for s in again) == ids(found)
    draws = {tuple(s.id for s in vocalset.balance(everything, seed=n)) for n in range(5)}
    assert len(draws) > 1
    assert len(vocalset.balance(everything, n=4)) == 2 * (4 + 3 + 4)
    assert vocalset.balance([]) == []


# VCTK -----------------------------------------------------------------------------------------

SPEAKERS = """ID  AGE  GENDER  ACCENTS  REGION COMMENTS
p225  23  F    English    Southern  England
s5    24  M    British
p280  25  F    Unknown    France (mic2 files unavailable)
"""


def test_vctk_092_takes_the_first_microphone(tmp_path: Path) -> None:
    (tmp_path / "speaker-info.txt").write_text(SPEAKERS)
    base = "wav48_silence_trimmed"
    plant(
        tmp_path, f"{base}/log.txt", f"{base}/p225/p225_001_mic1.flac",
        f"{base}/p225/p225_001_mic2.flac", f"{base}/s5/s5_002_mic1.flac", "txt/p225/p225_001.txt",
    )  # fmt: skip
    found = corpora.scan("vctk", tmp_path)
    assert ids(found) == [f"{base}/p225/p225_001_mic1", f"{base}/s5/s5_002_mic1"]
    assert found.sources[0].labels == {
        "corpus": "vctk", "kind": "speech", "language": "English", "gender": "F", "age": "23",
        "accent": "English", "sentence": "001", "microphone": "mic1",
    }  # fmt: skip
    assert found.sources[1].labels["gender"] == "M"
    both = corpora.scan("vctk", tmp_path, microphones=("all",))
    assert len(both.sources) == 3


def test_vctk_080_has_one_microphone_and_numbers_without_p(tmp_path: Path) -> None:
    root = tmp_path / "VCTK-Corpus"
    plant(root, "wav48/p225/p225_001.wav", "wav48/p999/p999_001.wav", "wav48/p999/p999_002.wav")
    (root / "speaker-info.txt").write_text(
        "ID  AGE  GENDER  ACCENTS  REGION\n225  23  F  English  X\n"
    )
    for place in (root, tmp_path):
        found = corpora.scan("vctk", place)
        assert [s.singer for s in found.sources] == ["vctk:p225"]
        assert "microphone" not in found.sources[0].labels
        assert "p999: speaker is not in speaker-info.txt; found p999" in problem(found)


def test_vctk_needs_speaker_info_with_genders(tmp_path: Path) -> None:
    plant(tmp_path, "wav48/p225/p225_001.wav")
    with pytest.raises(ManifestError, match=r"has no speaker-info.txt; found wav48/"):
        corpora.scan("vctk", tmp_path)
    (tmp_path / "speaker-info.txt").write_text("ID AGE GENDER ACCENTS\np225 23 X English\n")
    with pytest.raises(ManifestError, match=r"txt:2: line has no gender; found p225 23 X"):
        corpora.scan("vctk", tmp_path)


# NUS-48E, MIR-1K, vocadito --------------------------------------------------------------------


def test_nus48e_kinds_genders_and_songs(tmp_path: Path) -> None:
    plant(
        tmp_path, "ADIZ/sing/01.wav", "ADIZ/sing/01.txt", "ADIZ/read/01.wav", "JLEE/sing/05.wav",
        "README.txt",
    )  # fmt: skip
    found = corpora.scan("nus48e", tmp_path)
    assert ids(found) == ["ADIZ/sing/01", "JLEE/sing/05"]
    assert [s.labels["gender"] for s in found.sources] == ["F", "M"]
    assert found.sources[1].labels["song"] == "05"
    every = corpora.scan("nus48e", tmp_path, **corpora.parse_options("nus48e", ["kinds=all"]))
    assert [s.labels["kind"] for s in every.sources] == ["speech", "singing", "singing"]
    found = corpora.scan("nus48e", plant(tmp_path, "XXXX/sing/01.wav"))
    assert "unknown singer; found XXXX; expected ADIZ, JLEE" in problem(found)


def test_mir1k_voice_is_the_right_channel(tmp_path: Path) -> None:
    plant(
        tmp_path, "MIR-1K/Wavfile/Ani_1_01.wav", "MIR-1K/Wavfile/abjones_2_03.wav",
        "MIR-1K/UndividedWavfile/Ani_1.wav", "MIR-1K/PitchLabel/Ani_1_01.pv",
    )  # fmt: skip
    found = corpora.scan("mir1k", tmp_path)
    assert ids(found) == ["MIR-1K/Wavfile/Ani_1_01", "MIR-1K/Wavfile/abjones_2_03"]
    assert {s.channel for s in found.sources} == {"right"}
    assert [s.labels["gender"] for s in found.sources] == ["F", "M"]
    assert found.sources[1].labels["song"] == "abjones_2"
    whole = only(corpora.scan("mir1k", tmp_path, undivided=True))
    assert whole.id == "MIR-1K/UndividedWavfile/Ani_1"
    assert whole.labels["song"] == "Ani_1"
    found = corpora.scan("mir1k", plant(tmp_path, "MIR-1K/Wavfile/nobody_1_01.wav"))
    assert "unknown singer; found nobody; expected abjones, amy" in problem(found)


def test_mir1k_knows_eight_women_and_eleven_men() -> None:
    from singerid.corpora.mir1k import FEMALE, MALE

    assert (len(FEMALE), len(MALE), FEMALE & MALE) == (8, 11, frozenset())


def test_vocadito_reads_its_table(tmp_path: Path) -> None:
    plant(tmp_path, "Audio/vocadito_2.wav", "Audio/vocadito_10.wav", "Audio/vocadito_41.wav")
    (tmp_path / "vocadito_metadata.csv").write_text(
        "track_id,singer_id,average_pitch,language\n2,S1,60,English\n10,S2,62,Tagalog\n"
    )
    found = corpora.scan("vocadito", tmp_path)
    assert [(s.id, s.singer) for s in found.sources] == [
        ("Audio/vocadito_10", "vocadito:S2"), ("Audio/vocadito_2", "vocadito:S1"),
    ]  # fmt: skip
    assert found.sources[0].labels == {
        "corpus": "vocadito", "kind": "singing", "song": "10", "language": "Tagalog",
        "average_pitch": "62",
    }  # fmt: skip
    assert "vocadito_41.wav: has no singer in vocadito_metadata.csv; found 41" in problem(found)
    (tmp_path / "vocadito_metadata.csv").write_text("track_id,singer_id\n2,S1\n")
    with pytest.raises(ManifestError, match="has no column 'average_pitch'; found track_id, sing"):
        corpora.scan("vocadito", tmp_path)
    (tmp_path / "vocadito_metadata.csv").unlink()
    with pytest.raises(ManifestError, match=r"has no vocadito_metadata.csv; found Audio/"):
        corpora.scan("vocadito", tmp_path)


# Larger singing corpora -----------------------------------------------------------------------


def test_m4singer(tmp_path: Path) -> None:
    plant(
        tmp_path, "Alto-1#美错/0000.wav", "Alto-1#美错/0000.mid", "Alto-1#美错/0000.TextGrid",
        "Tenor-7#送别/0001.wav", "meta.json", "Baritone-1#x/0000.wav",
    )  # fmt: skip
    found = corpora.scan("m4singer", tmp_path)
    assert ids(found) == ["Alto-1#美错/0000", "Tenor-7#送别/0001"]
    assert found.sources[0].singer == "m4singer:Alto-1"
    assert found.sources[0].labels["song"] == "美错"
    assert "gender" not in found.sources[0].labels
    assert "unknown voice part; found Baritone; expected soprano, alto" in problem(found)
    found = corpora.scan("m4singer", tmp_path, gender_from_voice=True)
    assert [s.labels["gender"] for s in found.sources] == ["F", "M"]


def test_opensinger_men_and_women_have_their_own_numbers(tmp_path: Path) -> None:
    plant(
        tmp_path, "ManRaw/0_光年/0_光年_3.wav", "ManRaw/0_光年/0_光年_3.lab",
        "WomanRaw/0_默/0_默_28.wav", "WomanRaw/0_默/1_默_28.wav", "LICENSE",
    )  # fmt: skip
    found = corpora.scan("opensinger", tmp_path)
    assert [(s.singer, s.labels["gender"]) for s in found.sources] == [
        ("opensinger:man0", "M"), ("opensinger:woman0", "F"),
    ]  # fmt: skip
    assert found.sources[1].labels["song"] == "默"
    assert "1_默_28.wav: does not fit the corpus" in problem(found)


def test_gtsinger_groups(tmp_path: Path) -> None:
    song = "English/EN-Alto-1/Mixed_Voice_and_Falsetto/my love"
    plant(
        tmp_path, f"{song}/Control_Group/0000.wav", f"{song}/Control_Group/0000.json",
        f"{song}/Falsetto_Group/0000.wav", f"{song}/Mixed_Voice_Group/0000.wav",
        f"{song}/Paired_Speech_Group/0000.wav",
    )  # fmt: skip
    found = corpora.scan("gtsinger", tmp_path)
    assert [s.labels["technique"] for s in found.sources] == ["control", "falsetto", "mixed_voice"]
    assert {s.singer for s in found.sources} == {"gtsinger:EN-Alto-1"}
    assert found.sources[0].labels["language"] == "English"
    speech = corpora.scan("gtsinger", tmp_path, include_speech=True).sources[-1]
    assert speech.labels["kind"] == "speech"
    assert "technique" not in speech.labels


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Klingon/KL-Alto-1/Breathy/x/Control_Group/0000.wav", "unknown language; found Klingon"),
        ("French/FR-Mezzo-1/Breathy/x/Control_Group/0000.wav", "unknown voice part; found mezzo"),
        ("French/FR-Alto-1/Belting/x/Control_Group/0000.wav", "unknown technique; found Belting"),
        (
            "French/FR-Alto-1/Breathy/x/Vibrato_Group/0000.wav",
            "unknown group; found Vibrato_Group; expected Control_Group, .*Breathy_Group",
        ),
    ],
)
def test_gtsinger_refuses(tmp_path: Path, name: str, message: str) -> None:
    found = corpora.scan("gtsinger", plant(tmp_path, name))
    with pytest.raises(ManifestError, match=message):
        raise found.problems[0]


def test_ravdess_song(tmp_path: Path) -> None:
    plant(
        tmp_path, "Audio_Song_Actors_01-24/Actor_02/03-02-05-02-02-01-02.wav",
        "Audio_Song_Actors_01-24/Actor_13/03-02-01-01-01-02-13.wav",
        "Audio_Speech_Actors_01-24/Actor_02/03-01-08-01-01-01-02.wav",
        "Video_Song_Actor_02/Actor_02/01-02-05-02-02-01-02.mp4",
    )  # fmt: skip
    found = corpora.scan("ravdess", tmp_path)
    assert [s.singer for s in found.sources] == ["ravdess:Actor_02", "ravdess:Actor_13"]
    assert found.sources[0].labels == {
        "corpus": "ravdess", "kind": "singing", "gender": "F", "song": "dogs", "emotion": "angry",
        "intensity": "strong", "repetition": "1", "language": "English",
    }  # fmt: skip
    assert found.sources[1].labels["gender"] == "M"
    speech = only(corpora.scan("ravdess", tmp_path, vocal_channels=("speech",)))
    assert speech.labels["kind"] == "speech"
    assert speech.labels["emotion"] == "surprised"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Actor_02/03-02-09-01-01-01-02.wav", "unknown emotion; found 09; expected 01, 02"),
        ("Actor_02/03-03-01-01-01-01-02.wav", "unknown kind; found 03"),
        ("Actor_02/03-02-01-01-03-01-02.wav", "unknown statement; found 03"),
        ("Actor_02/03-02-01-01-01-01-04.wav", "say two actors; found 04; expected 02"),
        ("Actor_25/03-02-01-01-01-01-25.wav", "unknown actor; found 25; expected 01 to 24"),
        ("Actor_02/song.wav", r"does not fit the corpus; found Actor_02/song.wav; .*03-02-<5 more"),
    ],
)
def test_ravdess_refuses(tmp_path: Path, name: str, message: str) -> None:
    found = corpora.scan("ravdess", plant(tmp_path, name))
    with pytest.raises(ManifestError, match=message):
        raise found.problems[0]


def test_jvs_music(tmp_path: Path) -> None:
    plant(
        tmp_path, "jvs001/song_common/wav/raw.wav", "jvs001/song_common/wav/modified.wav",
        "jvs001/song_common/wav/modified_grouped.wav", "jvs001/song_unique/wav/raw.wav",
        "jvs002/song_common/wav/raw.wav", "jvs002/song_unique/wav/raw.wav",
    )  # fmt: skip
    info = tmp_path / "singer_info.txt"
    info.write_text("singer gender key_group unique_song_name\njvs001 M 2 furusato no uta\n")
    found = corpora.scan("jvs_music", tmp_path)
    assert [s.labels["song"] for s in found.sources] == ["katatsumuri", "furusato no uta"]
    assert {s.labels["gender"] for s in found.sources} == {"M"}
    assert "jvs002: has no gender in singer_info.txt" in problem(found)
    versions = corpora.scan("jvs_music", tmp_path, versions=("modified", "modified_grouped"))
    assert [s.labels["version"] for s in versions.sources] == ["modified", "modified_grouped"]
    info.write_text("name sex\njvs001 M\n")
    with pytest.raises(ManifestError, match=r"has other columns; found name, sex; expected singer"):
        corpora.scan("jvs_music", tmp_path)


def test_esmuc_leaves_the_room_microphones_out(tmp_path: Path) -> None:
    plant(
        tmp_path, "DG_FT_take1_S1.wav", "DG_FT_take1_S1.f0", "DG_FT_take1_ORTF.wav",
        "DG_FT_take1_AB.wav", "SC3_IS_tenors1_T3.wav", "DG_FT_take3_mixed_B2.wav",
        "WU_take1_A1.wav",
    )  # fmt: skip
    found = corpora.scan("esmuc", tmp_path)
    assert not found.problems
    assert {(s.singer, s.labels["song"], s.labels["take"]) for s in found.sources} == {
        ("esmuc:S1", "DG", "take1"), ("esmuc:T3", "SC3", "tenors1"),
        ("esmuc:B2", "DG", "take3_mixed"), ("esmuc:A1", "WU", "take1"),
    }  # fmt: skip
    found = corpora.scan("esmuc", plant(tmp_path, "XX_FT_take1_S1.wav"), gender_from_voice=True)
    assert "unknown song; found XX; expected DG, DH1" in problem(found)
    assert [s.labels["gender"] for s in found.sources] == ["F", "M", "M", "F"]
    found = corpora.scan("esmuc", plant(tmp_path, "SC1_FT_take3S1.wav"))
    assert any("SC1_FT_take3S1.wav: does not fit" in str(p) for p in found.problems)


def test_dagstuhl_takes_one_microphone_of_single_singers(tmp_path: Path) -> None:
    base = "audio_wav_22050_mono/DCS_"
    plant(
        tmp_path, f"{base}LI_QuartetB_Take04_B2_DYN.wav", f"{base}LI_QuartetB_Take04_B2_LRX.wav",
        f"{base}LI_FullChoir_Take02_Stereo_STM.wav", f"{base}SE_FullChoir_ScaleUpDown06_A2_HSM.wav",
        f"{base}LI_FullChoir_Take02_StereoReverb_STM.wav",
        f"{base}TP_FullChoir_Take01_Piano_SPL.wav",
    )  # fmt: skip
    source = only(corpora.scan("dagstuhl", tmp_path))
    assert source.singer == "dagstuhl:B2"
    assert source.labels == {
        "corpus": "dagstuhl", "kind": "singing", "song": "LI", "voice": "bass",
        "setting": "QuartetB", "take": "Take04", "microphone": "dynamic",
    }  # fmt: skip
    others = corpora.scan("dagstuhl", tmp_path, microphones=("HSM", "LRX"), gender_from_voice=True)
    assert [s.labels["gender"] for s in others.sources] == ["M", "F"]
    found = corpora.scan("dagstuhl", plant(tmp_path, f"{base}LI_QuartetB_Take04_B2_XYZ.wav"))
    assert "unknown microphone; found XYZ; expected DYN, HSM, LRX" in problem(found)


# Smule ----------------------------------------------------------------------------------------


def test_sing300(tmp_path: Path) -> None:
    stem = "225741816_226995-475216816_227615877"
    plant(
        tmp_path, f"GB/GBVocals/{stem}-GB-F-475215813.m4a",
        f"IN/INVocals/{stem}-IN-MNone-None475215814.m4a", f"IN/INVocals/{stem}-IN-None-7.m4a",
        "GB/GBLyrics/225741816_226995.json",
    )  # fmt: skip
    found = corpora.scan("sing300", tmp_path)
    assert [s.singer for s in found.sources] == [
        "sing300:475215813", "sing300:475215814", "sing300:7",
    ]  # fmt: skip
    assert [s.labels.get("gender") for s in found.sources] == ["F", "M", None]
    assert found.sources[0].labels["song"] == "225741816_226995"
    assert found.sources[0].labels["performance"] == "475216816_227615877"
    found = corpora.scan("sing300", plant(tmp_path, f"GB/GBVocals/{stem}-GB-X-1.m4a"))
    assert "unknown gender; found X; expected F, M or None" in problem(found)


HEADER = "performance_id, arrangement_id, account_id, country, gender, birth_year\n"


def test_damp_takes_labels_from_a_table_beside_it(tmp_path: Path) -> None:
    root = plant(tmp_path / "damp", "train/257/257_1.m4a", "val/450/450_2.m4a")
    without = corpora.scan("damp", root)
    assert without.sources[0].labels == {"corpus": "damp", "performance": "1"}
    table = tmp_path / "example_metadata.csv"
    table.write_text(HEADER + "257_1, 37_37, 258, GB, F, 1988\n450_2, 38_38, 45, US, None, None\n")
    found = corpora.scan("damp", root)
    assert [s.split for s in found.sources] == ["train", "valid"]
    assert found.sources[0].labels == {
        "corpus": "damp", "performance": "1", "gender": "F", "song": "37_37", "country": "GB",
    }  # fmt: skip
    assert "gender" not in found.sources[1].labels
    plant(root, "train/257/257_9.m4a")
    assert "257_9.m4a: performance is not in the metadata" in problem(corpora.scan("damp", root))
    assert len(corpora.scan("damp", root, metadata="none").sources) == 3
    other = tmp_path / "other.csv"
    other.write_text(HEADER + "257_1, 37_37, 258, GB, X, 1988\n")
    with pytest.raises(ManifestError, match=r"other.csv:2: unknown gender; found X"):
        corpora.scan("damp", root, metadata=str(other))


# Lhotse and mirdata ---------------------------------------------------------------------------

# As lhotse 1.33.0 writes them: Recording.to_dict() and SupervisionSegment.to_dict().
LHOTSE_RECORDING = {
    "id": "a", "sources": [{"type": "file", "channels": [0], "source": "x.wav"}],
    "sampling_rate": 16000, "num_samples": 1600, "duration": 0.1, "channel_ids": [0],
}  # fmt: skip
LHOTSE_SUPERVISION = {
    "id": "a", "recording_id": "a", "start": 0, "duration": 0.1, "channel": 0, "language": "en",
    "speaker": "s", "gender": "F", "custom": {"song": "x", "bpm": 90, "alignment": [1, 2]},
}  # fmt: skip


def lhotse_pair(folder: Path, recording: object, *supervisions: object, name: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    lines = "".join(json.dumps(s) + "\n" for s in supervisions)
    (folder / f"recordings{name}.jsonl").write_text(json.dumps(recording) + "\n")
    (folder / f"supervisions{name}.jsonl").write_text(lines)
    return folder


def test_lhotse_import(tmp_path: Path) -> None:
    lhotse_pair(tmp_path, LHOTSE_RECORDING, LHOTSE_SUPERVISION, name="_dev")
    (tmp_path / "x.wav").touch()
    source = only(corpora.scan("lhotse", tmp_path))
    assert source == Source(
        tmp_path / "x.wav", "a", "s", "valid", "mix",
        {"song": "x", "bpm": "90", "gender": "F", "language": "en"},
    )  # fmt: skip
    assert only(corpora.scan("lhotse", tmp_path / "recordings_dev")) == source


@pytest.mark.parametrize(
    ("change", "supervisions", "message"),
    [
        ({}, [], "does not have one speaker; found no supervision; cut it first"),
        ({}, [LHOTSE_SUPERVISION, LHOTSE_SUPERVISION | {"speaker": "t"}], "speaker; found s, t"),
        ({"duration": 9.0}, [LHOTSE_SUPERVISION], "do not fill the recording; found 0 to 0.1 s of"),
        ({"sources": []}, [LHOTSE_SUPERVISION], r"is not one audio file; found \[\]"),
        ({"duration": None}, [LHOTSE_SUPERVISION], "has no start or duration in seconds"),
    ],
)  # fmt: skip
def test_lhotse_refuses(tmp_path: Path, change: dict, supervisions: list, message: str) -> None:
    found = corpora.scan("lhotse", lhotse_pair(tmp_path, LHOTSE_RECORDING | change, *supervisions))
    with pytest.raises(ManifestError, match=rf"recordings.jsonl:1: .*{message}"):
        raise found.problems[0]


def test_lhotse_without_a_pair_or_json(tmp_path: Path) -> None:
    plant(tmp_path, "notes.txt")
    with pytest.raises(ManifestError, match=r"no recordings.jsonl\[.gz\]; found notes.txt"):
        corpora.scan("lhotse", tmp_path)
    lhotse_pair(tmp_path, [1], LHOTSE_SUPERVISION)
    with pytest.raises(
        ManifestError, match=r"recordings.jsonl:1: line is not an object; found \[1"
    ):
        corpora.scan("lhotse", tmp_path)
    (tmp_path / "recordings.jsonl").write_text("{")
    with pytest.raises(ManifestError, match="cannot be read as JSON lines"):
        corpora.scan("lhotse", tmp_path)
    (tmp_path / "supervisions.jsonl").unlink()
    with pytest.raises(ManifestError, match=r"no supervisions beside it; expected supervisions.js"):
        corpora.scan("lhotse", tmp_path)


def some_recordings(folder: Path) -> list[Recording]:
    """One mono file, and both channels of a stereo file."""
    for name, channels in (("mono.wav", 1), ("stereo.wav", 2)):
        sung(folder / name, channels, channels)
    mono, stereo = str(folder / "mono.wav"), str(folder / "stereo.wav")
    labels = {"gender": "F", "song": "x"}
    return [
        Recording("a", "amy", mono, 0.1, 16000, labels=labels),
        Recording("b", "bob", stereo, 0.1, 16000, 2, "right", "test"),
        Recording("c", "bob", stereo, 0.1, 16000, 2, "mix", "test"),
        Recording("d", "eve", stereo, 0.1, 16000, 2, "left", "test"),
    ]


def test_lhotse_round_trip(tmp_path: Path) -> None:
    recordings = some_recordings(tmp_path)
    lhotse.export(recordings, tmp_path / "out")
    found = corpora.scan("lhotse", tmp_path / "out")
    assert not found.problems
    for source, recording in zip(found.sources, recordings, strict=True):
        assert (source.id, source.singer, str(source.path), source.split, source.channel) == (
            recording.id, recording.singer, recording.path, recording.split, recording.channel,
        )  # fmt: skip
        assert source.labels == recording.labels


def test_lhotse_reads_the_export(tmp_path: Path) -> None:
    package = pytest.importorskip("lhotse")
    lhotse.export(some_recordings(tmp_path), tmp_path / "out")
    recordings = package.RecordingSet.from_file(tmp_path / "out/recordings.jsonl.gz")
    supervisions = package.SupervisionSet.from_file(tmp_path / "out/supervisions.jsonl.gz")
    package.validate_recordings_and_supervisions(recordings, supervisions)
    cuts = package.CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    assert [s.speaker for s in supervisions] == ["amy", "bob", "bob", "eve"]
    audio, _ = soundfile.read(tmp_path / "stereo.wav", dtype="float32")
    right = next(cut for cut in cuts.trim_to_supervisions() if cut.supervisions[0].id == "b")
    np.testing.assert_array_equal(right.load_audio(), audio.T[1:])


def test_mirdata_index(tmp_path: Path) -> None:
    tracks = {
        "DCS_LI_FullChoir_Take01_S1": {"audio_dyn": ["audio/a.wav", "md5"], "f0": [None, None]},
        "DCS_LI_FullChoir_Take01_A2": {"audio_dyn": ["audio/gone.wav", "md5"]},
        "DCS_LI_FullChoir_Take01_T1": {"audio_dyn": [None, None]},
        "Odd": {"audio_dyn": ["audio/a.wav", "md5"]},
    }
    index = tmp_path / "index.json"
    index.write_text(json.dumps({"version": "1", "tracks": tracks}))
    plant(tmp_path / "data", "audio/a.wav")
    options = corpora.parse_options(
        "mirdata", [r"singer=_([SATB]\d)$", f"data={tmp_path / 'data'}", "key=audio_dyn"]
    )
    found = corpora.scan("mirdata", index, **options)
    assert [(s.id, s.singer) for s in found.sources] == [("DCS_LI_FullChoir_Take01_S1", "S1")]
    messages = [str(p) for p in found.problems]
    assert "gone.wav: is in the index but missing" in messages[0]
    assert "singer pattern does not match; found Odd" in messages[1]
    with pytest.raises(ConfigError, match="needs a pattern with one group; found nothing"):
        corpora.scan("mirdata", index)
    with pytest.raises(ConfigError, match="is no pattern; found missing"):
        corpora.scan("mirdata", index, singer="(")
    index.write_text("[]")
    with pytest.raises(ManifestError, match="cannot be read as an index"):
        corpora.scan("mirdata", index, singer="(.)")
    index.write_text("{}")
    with pytest.raises(ManifestError, match="is no mirdata index"):
        corpora.scan("mirdata", index, singer="(.)")


# Registry and options -------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(corpora.CORPORA) - {"csv", "mirdata", "folder"}))
def test_wrong_folder_says_what_was_sought_and_found(tmp_path: Path, name: str) -> None:
    plant(tmp_path, *(f"photo{n}.jpg" for n in range(7)))
    for metadata in ("speaker-info.txt", "singer_info.txt"):
        (tmp_path / metadata).write_text("singer gender\n" if "singer" in metadata else "ID\n")
    (tmp_path / "vocadito_metadata.csv").write_text("track_id,singer_id,average_pitch,language\n")
    with pytest.raises(ManifestError, match=r"photo0.jpg, .* and 5 more") as caught:
        corpora.scan(name, tmp_path)
    layout = (corpora.CORPORA[name].__doc__ or "").split("\n")[0]
    assert layout.startswith("<root>/")
    assert layout in str(caught.value)


def test_wrong_folder_full_of_audio_is_one_error(tmp_path: Path) -> None:
    plant(tmp_path, *(f"take{n:02}.wav" for n in range(21)))
    with pytest.raises(
        ManifestError, match=r"no recordings of corpus 'mir1k'.*21 audio files that"
    ):
        corpora.scan("mir1k", tmp_path)


def test_everything_left_out_is_said(tmp_path: Path) -> None:
    plant(tmp_path, "ADIZ/read/01.wav")
    with pytest.raises(ManifestError, match="found 1 files of it, all left out by the options"):
        corpora.scan("nus48e", tmp_path)


def test_unknown_corpus_option_or_value(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown corpus 'nus'; expected folder, csv"):
        corpora.scan("nus", tmp_path)
    with pytest.raises(
        ConfigError,
        match=r"unknown option 'vowels' of corpus 'vocalset'; expected techniques=belt,.* "
        "include_songs=false include_long_tones=false balanced=false seed=0",
    ):
        corpora.parse_options("vocalset", ["vowels=a"])
    with pytest.raises(
        ConfigError, match=r"unknown option 'x' of corpus 'opensinger'; .*no options"
    ):
        corpora.scan("opensinger", tmp_path, x=1)
    for text, message in (
        ("balanced", "is not name=value; found balanced"),
        ("balanced=yes", "option balanced: is not true or false; found yes"),
        ("seed=one", "option seed: is not a whole number; found one"),
    ):
        with pytest.raises(ConfigError, match=message):
            corpora.parse_options("vocalset", [text])
    with pytest.raises(
        ConfigError, match="option techniques: unknown value 'growl'; expected all,"
    ):
        corpora.scan("vocalset", tmp_path, techniques=("growl",))
    assert corpora.parse_options("vocalset", ["seed=7", "techniques=belt,pp", "balanced=True"]) == {
        "seed": 7, "techniques": ("belt", "pp"), "balanced": True,
    }  # fmt: skip


def test_a_missing_root_is_said(tmp_path: Path) -> None:
    for name in ("vocalset", "lhotse"):
        with pytest.raises(ManifestError, match="gone: does not exist"):
            corpora.scan(name, tmp_path / "gone")


def test_names_of_singers_and_files_survive_bytes_that_are_no_text(tmp_path: Path) -> None:
    plant(tmp_path, "Alto-1#\udcff/0000.wav")
    source = only(corpora.scan("m4singer", tmp_path))
    assert source.labels["song"] == r"\xff"
    source.id.encode()


def test_scan_builds_a_manifest(tmp_path: Path) -> None:
    women, men = ("amy", "Ani", "annar", "heycat"), ("bug", "leon", "stool", "fdps")
    for seed, name in enumerate(women + men):
        for clip in (1, 2):
            sung(tmp_path / f"Wavfile/{name}_1_{clip:02}.wav", 10 * seed + clip, channels=2)
    found = corpora.scan("mir1k", tmp_path)
    result = build(found, ManifestSettings())
    assert not result.problems
    assert len(result.recordings) == 16
    assert {r.channel for r in result.recordings} == {"right"}
    genders = {r.singer: r.labels["gender"] for r in result.recordings}
    assert genders["mir1k:Ani"] == "F"
    assert genders["mir1k:leon"] == "M"
    lhotse.export(result.recordings, tmp_path / "lhotse")
    again = build(corpora.scan("lhotse", tmp_path / "lhotse"), ManifestSettings())
    assert again.recordings == result.recordings


def test_csv_and_folder_still_take_no_options(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["path", "singer"], ["a.wav", "amy"]])
    assert only(corpora.scan("csv", path)).singer == "amy"
    assert corpora.describe_options("csv") == corpora.describe_options("folder") == "no options"


# Bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": []}, {}), ({"sources": [{"type": "file", "channels": [0]}]}, {}),
        ({"sources": [{"type": "file", "source": None}]}, {}), ({"duration": 10**400}, {}),
        ({}, {"speaker": []}), ({}, {"recording_id": {}}), ({}, {"start": [1]}),
        ({}, {"start": float("nan")}),
    ],
)  # fmt: skip
def test_lhotse_of_odd_types_is_refused(tmp_path: Path, change: dict, said: dict) -> None:
    root = lhotse_pair(tmp_path, LHOTSE_RECORDING | change, LHOTSE_SUPERVISION | said)
    found = corpora.scan("lhotse", root)
    assert found.sources == []
    assert "recordings.jsonl:1: " in str(found.problems[0]) or ".gz:1: " in str(found.problems[0])


@pytest.mark.parametrize("custom", ["text", [1], 3])
@pytest.mark.parametrize("channels", [None, 1, "ab"])
def test_lhotse_of_odd_extras_is_read(tmp_path: Path, custom: object, channels: object) -> None:
    files = LHOTSE_RECORDING["sources"]
    recording = LHOTSE_RECORDING | {"sources": [{**files[0], "channels": channels}]}
    root = lhotse_pair(tmp_path, recording, LHOTSE_SUPERVISION | {"custom": custom, "gender": [1]})
    assert only(corpora.scan("lhotse", root)).channel == "mix"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (
            gzip.compress(bytes(1 << 26), mtime=0),
            "times the bytes of the packed file|a line of more than",
        ),
        (gzip.compress(b"\n" * (1 << 23), mtime=0), "times the bytes of the packed file"),
        (gzip.compress(b"{}\n" * 99, mtime=0)[:-9], "ended before"),
        (b"no gzip", "Not a gzipped file"),
        (bytes([*gzip.compress(b"{}\n" * 99, mtime=0)[:12], 255, 255, 255, 255]), "."),
        (gzip.compress(b"[" * 100_000, mtime=0), "nested too deeply"),
    ],
)  # fmt: skip
def test_lhotse_packed_badly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, found: str
) -> None:
    monkeypatch.setattr(lhotse, "_MOST_LINE", 1 << 18)
    (tmp_path / "supervisions.jsonl.gz").write_bytes(data)
    (tmp_path / "recordings.jsonl.gz").write_bytes(data)
    with pytest.raises(
        ManifestError, match=f"jsonl.gz: cannot be read as JSON lines; found .*({found})"
    ):
        corpora.scan("lhotse", tmp_path)


@pytest.mark.parametrize("files", [None, 1, [], "x", {"audio": 1}, {"audio": [{}]}, {"audio": []}])
def test_a_mirdata_track_without_a_path_is_ignored(tmp_path: Path, files: object) -> None:
    (tmp_path / "a.wav").touch()
    tracks = {"b": files, "a": {"audio": ["a.wav", "md5"]}, "c": {"audio": ["x" * 5000, ""]}}
    (tmp_path / "index.json").write_text(json.dumps({"tracks": tracks}))
    found = corpora.scan("mirdata", tmp_path / "index.json", singer="(.)")
    assert (only_id(found), found.n_ignored, len(found.problems)) == ("a", 1, 1)
    (tmp_path / "index.json").write_text("[" * 100_000)
    with pytest.raises(
        ManifestError, match=r"index.json: cannot be read as an index; found nested"
    ):
        corpora.scan("mirdata", tmp_path / "index.json", singer="(.)")


def only_id(found: Scan) -> str:
    (source,) = found.sources
    return source.id


@pytest.mark.parametrize("read", [vctk.read_speakers, jvs_music.read_singers, damp.read_metadata])
def test_lists_of_singers_that_are_no_text(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "list").write_bytes(b"singer gender\n\xff")
    with pytest.raises(ManifestError, match=r"list: cannot be read as (text|CSV); found 'utf-8'"):
        read(tmp_path / "list")


def test_short_rows_of_vocadito(tmp_path: Path) -> None:
    plant(tmp_path, "Audio/vocadito_2.wav")
    header = "track_id,singer_id,average_pitch,language\n"
    (tmp_path / "vocadito_metadata.csv").write_text(header + "2,S1\n")
    assert only(corpora.scan("vocadito", tmp_path)).singer == "vocadito:S1"
