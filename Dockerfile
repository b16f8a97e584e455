# A server for an exported network, without torch: see docs/serving.md.
#
#   docker build -t globalconv .
#   docker run --rm -p 8000:8000 --read-only --tmpfs /tmp -v "$PWD/mine.onnx:/model.onnx:ro" globalconv

FROM python:3.13-slim AS build
COPY pyproject.toml constraints.txt README.md LICENSE /source/
COPY src /source/src
RUN python -m venv /opt/globalconv \
 && /opt/globalconv/bin/pip install --no-cache-dir -c /source/constraints.txt "/source[runtime,serve]" \
 && find /opt/globalconv -name tests -type d -prune -exec rm -rf {} + \
 && /opt/globalconv/bin/pip uninstall --yes pip

FROM python:3.13-slim
COPY --from=build /opt/globalconv /opt/globalconv
ENV PATH=/opt/globalconv/bin:$PATH PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin globalconv
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["globalconv", "serve"]
CMD ["/model.onnx", "--host", "0.0.0.0"]
