# syntax=docker/dockerfile:1
FROM python:3.13-slim-bookworm AS build
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/smscd \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements-build.lock \
 && /opt/smscd/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY smscd smscd
COPY protocols protocols
COPY storage storage
COPY tools tools
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/smscd/bin/pip install --no-cache-dir --no-deps /wheels/*.whl

FROM python:3.13-slim-bookworm
RUN groupadd --system --gid 10001 smscd \
 && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/smscd --create-home --shell /usr/sbin/nologin smscd
COPY --from=build /opt/smscd /opt/smscd
COPY conf/smscd.toml /etc/smscd/smscd.toml
ENV PATH=/opt/smscd/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SMSCD_SMPP_HOST=0.0.0.0 \
    SMSCD_HTTP_HOST=0.0.0.0 \
    SMSCD_LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/smscd
VOLUME /var/lib/smscd
EXPOSE 2775 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8081/health/', timeout=2)"]
ENTRYPOINT ["smscd"]
CMD ["serve", "-c", "/etc/smscd/smscd.toml"]
