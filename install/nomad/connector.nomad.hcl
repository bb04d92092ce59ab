# Connector as a Nomad job: `nomad job run connector.nomad.hcl`. The certificates, and the token that requests to the
# REST API need, come from Nomad's variables:
#   nomad var put nomad/jobs/connector root_cert=@root.cert leaf_cert=@leaf.cert leaf_key=@leaf.key \
#     api_token="$(openssl rand -hex 32)"
# To call the API, on the machine that runs the job, at the address that `nomad service info connector-http` shows:
#   curl --insecure --header "Authorization: Bearer $(nomad var get -out=go-template \
#     -template='{{ .Items.api_token }}' nomad/jobs/connector)" https://127.0.0.1:PORT/list
job "connector" {
  type = "service"

  group "connector" {
    count = 1

    network {
      mode = "bridge"

      port "grpc" {
        to = 60000
      }

      # The REST API stays on the machine. Its client's configuration must have the network:
      #   host_network "loopback" { cidr = "127.0.0.0/8" }
      port "http" {
        to           = 60001
        host_network = "loopback"
      }
    }

    service {
      name     = "connector"
      port     = "grpc"
      provider = "nomad"
    }

    service {
      name     = "connector-http"
      port     = "http"
      provider = "nomad"

      check {
        name            = "health"
        type            = "http"
        protocol        = "https"
        tls_skip_verify = true
        path            = "/health"
        interval        = "10s"
        timeout         = "5s"

        check_restart {
          limit = 3
          grace = "30s"
        }
      }

      check {
        name            = "ready"
        type            = "http"
        protocol        = "https"
        tls_skip_verify = true
        path            = "/ready"
        interval        = "10s"
        timeout         = "5s"
      }
    }

    task "connector" {
      driver       = "docker"
      user         = "65532:65532"
      kill_timeout = "30s"

      config {
        image           = "ghcr.io/jumppad-labs/connector:0.1.0"
        args            = ["run"]
        ports           = ["grpc", "http"]
        readonly_rootfs = true
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
      }

      env {
        CONNECTOR_GRPC_BIND        = ":60000"
        CONNECTOR_HTTP_BIND        = ":60001"
        CONNECTOR_API_TOKEN_FILE   = "${NOMAD_SECRETS_DIR}/api-token"
        CONNECTOR_ROOT_CERT_PATH   = "${NOMAD_SECRETS_DIR}/root.cert"
        CONNECTOR_SERVER_CERT_PATH = "${NOMAD_SECRETS_DIR}/leaf.cert"
        CONNECTOR_SERVER_KEY_PATH  = "${NOMAD_SECRETS_DIR}/leaf.key"
      }

      # The connector reads files again when they change: new ones are in use within seconds, without a restart.
      template {
        data        = "{{ with nomadVar \"nomad/jobs/connector\" }}{{ .root_cert }}{{ end }}"
        destination = "${NOMAD_SECRETS_DIR}/root.cert"
        change_mode = "noop"
        perms       = "0444"
      }

      template {
        data        = "{{ with nomadVar \"nomad/jobs/connector\" }}{{ .leaf_cert }}{{ end }}"
        destination = "${NOMAD_SECRETS_DIR}/leaf.cert"
        change_mode = "noop"
        perms       = "0444"
      }

      template {
        data        = "{{ with nomadVar \"nomad/jobs/connector\" }}{{ .leaf_key }}{{ end }}"
        destination = "${NOMAD_SECRETS_DIR}/leaf.key"
        change_mode = "noop"
        perms       = "0400"
        uid         = 65532
        gid         = 65532
      }

      template {
        data        = "{{ with nomadVar \"nomad/jobs/connector\" }}{{ .api_token }}{{ end }}"
        destination = "${NOMAD_SECRETS_DIR}/api-token"
        change_mode = "noop"
        perms       = "0400"
        uid         = 65532
        gid         = 65532
      }

      resources {
        cpu        = 100
        memory     = 128
        memory_max = 512
      }
    }
  }
}
