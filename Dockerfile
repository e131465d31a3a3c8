# CardioNode in a container:  docker build -t cardionode .
# docker run -v cardionode:/var/lib/cardionode -v ./node.toml:/etc/cardionode/node.toml:ro \
#     -p 11112:11112 -p 2575:2575 cardionode      (set dicom.host and hl7.host to "0.0.0.0")
# With the library for FHIR:  docker build --build-arg EXTRAS=[fhir] -t cardionode .
FROM python:3.11-slim-bookworm
RUN useradd --system --create-home --home-dir /var/lib/cardionode cardionode
COPY . /usr/src/cardionode
ARG EXTRAS=
RUN pip install --no-cache-dir -c /usr/src/cardionode/.ci/constraints.txt \
        "/usr/src/cardionode$EXTRAS" \
    && rm -r /usr/src/cardionode
USER cardionode
VOLUME /var/lib/cardionode
EXPOSE 11112 2575 8080
ENTRYPOINT ["cardionode"]
CMD ["serve", "--config", "/etc/cardionode/node.toml", "--home", "/var/lib/cardionode"]
