# syntax=docker/dockerfile:1
# One executable on a slim glibc base. `deno task build` makes dist/; an architecture's name in Docker is not
# always the one in the file's name.
FROM debian:bookworm-slim AS files
ARG TARGETARCH
COPY dist/ /dist/
RUN case "$TARGETARCH" in \
      amd64) name=x86_64 ;; \
      arm64) name=arm64 ;; \
      *) echo "no executable for $TARGETARCH" >&2; exit 1 ;; \
    esac && \
    install -m 0755 "/dist/connector-linux-$name" /connector

FROM debian:bookworm-slim
LABEL org.opencontainers.image.source="https://github.com/jumppad-labs/connector" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 65532 connector && \
    useradd --system --uid 65532 --gid connector --home-dir /home/connector --create-home connector
COPY --from=files /connector /connector
USER 65532:65532
# A self-extracting executable unpacks itself now, so that the container may run with a read-only root.
ENV HOME=/home/connector
RUN ["/connector", "--version"]
# gRPC for peers, REST. A deployment that binds others, or serves TLS, sets CONNECTOR_HEALTH_URL to match.
EXPOSE 9090 9091
ENV CONNECTOR_HEALTH_URL=http://localhost:9091/health
HEALTHCHECK --interval=10s --timeout=6s --start-period=5s CMD ["/connector", "health"]
ENTRYPOINT ["/connector"]
CMD ["run"]
