# A stage that runs as an ordinary user. The first part installs it with what requirements.lock pins; only the result
# goes into the second.
FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY src src
# The lock pins what developers need too: it is taken as constraints, and the wheel says what it wants of it.
RUN grep -v -- '--hash=' requirements.lock | sed 's/ *\\$//' >constraints.txt \
    && python -m venv /opt/soundstage \
    && /opt/soundstage/bin/pip install --constraint constraints.txt ".[cassandra,kafka,lz4,otel,s3,search,tables]"

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin soundstage \
    && install -d -o soundstage -g soundstage /data
COPY --from=build /opt/soundstage /opt/soundstage
ENV PATH=/opt/soundstage/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER soundstage
WORKDIR /data
VOLUME /data
EXPOSE 7777
STOPSIGNAL SIGTERM
ENTRYPOINT ["soundstage"]
CMD ["up", "--data", "/data"]
