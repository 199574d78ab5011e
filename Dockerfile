# maskwright serve, for a bundle made by `maskwright export` (ONNX Runtime or OpenVINO: no torch at work)
#   docker build -t maskwright .
#   docker run -p 8000:8000 -e MASKWRIGHT_TOKEN="$TOKEN" -v "$PWD/bundle:/model:ro" maskwright
FROM python:3.12-slim
RUN useradd --create-home --uid 10001 maskwright
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
# the CPU build of torch: it is installed, since the package needs it to train, and not imported to serve a bundle
RUN pip install --no-cache-dir -c constraints.txt torch torchvision --index-url https://download.pytorch.org/whl/cpu \
 && pip install --no-cache-dir -c constraints.txt '.[serve,export]'
USER maskwright
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=3)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["maskwright", "serve"]
CMD ["/model", "--host", "0.0.0.0"]
