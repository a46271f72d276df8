# syntax=docker/dockerfile:1
# The service of `singerid serve`, without torch. Packages are checked against the hashes of
# release/server.lock. Where reproducible images count, give the base by digest:
#   docker build --build-arg PYTHON=python:3.13-slim-bookworm@sha256:... -t singerid .
ARG PYTHON=python:3.13-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/singerid
WORKDIR /build
COPY release/server.lock release/
RUN /opt/singerid/bin/python -m pip install --only-binary :all: --require-hashes \
    -r release/server.lock
COPY dist/*.whl dist/
RUN /opt/singerid/bin/python -m pip install --no-deps --no-index dist/*.whl \
    && /opt/singerid/bin/python -m pip check \
    && /opt/singerid/bin/python -m pip uninstall --yes pip

FROM ${PYTHON}
COPY --from=build /opt/singerid /opt/singerid
RUN useradd --uid 10001 --create-home singerid \
    && install --directory --owner singerid --group singerid /data
ENV PATH=/opt/singerid/bin:$PATH PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp/matplotlib
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
# Anybody who reaches the port may enroll and remove singers: set SINGERID_TOKEN.
ENTRYPOINT ["singerid"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--registry", "/data/registry"]
