// `GET /openapi.json`: the REST API for programs, made of the very schemas that bodies are checked with, and of those that
// answers have their types from. Loaded when it is asked for. Prose for people is in docs/rest.md.

import * as z from "zod";
import { certificate, config, service } from "./answers.ts";
import { certificateBody, exposeBody } from "./request_bodies.ts";
import { MAX_WAIT_S } from "./schemas.ts";

/** What the document is about. */
export interface OpenApiOptions {
  /** Of the program. */
  version: string;
  /** Whether certificates are issued. */
  issues: boolean;
}

type Json = Readonly<Record<string, unknown>>;

/** The whole document, in OpenAPI 3.1. https://spec.openapis.org/oas/v3.1.1.html */
export function openApi({ version, issues }: OpenApiOptions): Json {
  const id = {
    name: "id",
    in: "path",
    required: true,
    description: "the id of the service",
    schema: { type: "string", minLength: 1 },
  };
  const wait = {
    name: "wait",
    in: "query",
    description:
      "seconds to wait until the service is complete; if it does not become so, it is removed",
    schema: { type: "number", minimum: 0, maximum: MAX_WAIT_S, multipleOf: 0.001 },
  };
  return {
    openapi: "3.1.1",
    info: {
      title: "Connector",
      version,
      description:
        "Everything that programs can ask a running connector. An answer that is not 200 is " +
        "plain text, for people: go by the status, not by the words.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    // Without a token file, nothing is needed.
    security: [{ token: [] }, {}],
    components: {
      securitySchemes: {
        token: {
          type: "http",
          scheme: "bearer",
          description: "a token of --api-token-file, if the connector runs with one",
        },
      },
      schemas: {
        Service: schemaOf(service, "output"),
        ServiceRequest: schemaOf(exposeBody, "input"),
        Config: schemaOf(config, "output"),
        ...(issues && {
          Certificate: schemaOf(certificate, "output"),
          CertificateRequest: schemaOf(certificateBody, "input"),
        }),
      },
    },
    paths: {
      "/health": {
        get: {
          operationId: "health",
          summary: "Says that the connector runs",
          security: [],
          responses: answers({ 200: text("It runs") }),
        },
      },
      "/ready": {
        get: {
          operationId: "ready",
          summary: "Says whether every service is complete",
          security: [],
          responses: answers({
            200: text("Every service is complete"),
            503: text("A line for each service that is not complete, with the reason"),
          }),
        },
      },
      "/expose": {
        post: {
          operationId: "expose",
          summary: "Exposes a service",
          parameters: [wait],
          requestBody: body("ServiceRequest"),
          responses: answers({
            200: text("The id of the service"),
            ...REFUSED_BODY,
            403: text("The connector, its policy or the other connector does not allow it"),
            409: text("The port is in use"),
            429: text("There are too many services, or too many requests wait"),
            500: text("It could not be saved"),
            502: text("The other connector refused it, or the address is none of this machine"),
            504: text("It was not complete in time"),
          }),
        },
      },
      "/expose/{id}": {
        get: {
          operationId: "getService",
          summary: "Shows a service",
          parameters: [id],
          responses: answers({
            200: json("The service", ref("Service")),
            404: text("There is no such service"),
          }),
        },
        delete: {
          operationId: "removeService",
          summary: "Removes a service, on both sides",
          parameters: [id],
          responses: answers({
            200: { description: "It is removed" },
            404: text("There is no such service"),
            409: text("It is in the configuration file"),
            500: text("That could not be saved"),
          }),
        },
      },
      "/list": {
        get: {
          operationId: "listServices",
          summary: "Lists the services of this connector, and those that peers have exposed on it",
          responses: answers({
            200: json("The services", { type: "array", items: ref("Service") }),
          }),
        },
      },
      "/config": {
        get: {
          operationId: "config",
          summary: "Says which options are in force, and where each comes from",
          responses: answers({ 200: json("The options", ref("Config")) }),
        },
      },
      "/metrics": {
        get: {
          operationId: "metrics",
          summary: "Numbers for Prometheus",
          responses: answers({ 200: text("Prometheus's text format, version 0.0.4") }),
        },
      },
      "/openapi.json": {
        get: {
          operationId: "openApi",
          summary: "This document",
          responses: answers({ 200: json("OpenAPI 3.1", { type: "object" }) }),
        },
      },
      ...(issues && {
        "/certificate": {
          post: {
            operationId: "issueCertificate",
            summary: "Issues a certificate of the root",
            requestBody: body("CertificateRequest"),
            responses: answers({
              200: json("The certificate", ref("Certificate")),
              ...REFUSED_BODY,
              403: text("The request came through a tunnel"),
            }),
          },
        },
      }),
    },
  };
}

/** What any body may be answered with. */
const REFUSED_BODY = {
  400: text("The body is not a JSON object"),
  408: text("The body did not arrive in time"),
  413: text("The body is too large"),
  422: text("A field is missing or wrong: a line for each"),
  429: text("Too many large bodies are being received"),
};

/** The answers of a call, and those that any may have. */
function answers(own: Json): Json {
  return {
    401: text("A token is needed, and there is none or a wrong one"),
    403: text("A certificate is needed, or a web page has asked"),
    ...own,
  };
}

function text(description: string): Json {
  return { description, content: { "text/plain": { schema: { type: "string" } } } };
}

function json(description: string, schema: Json): Json {
  return { description, content: { "application/json": { schema } } };
}

function body(name: string): Json {
  return { required: true, content: { "application/json": { schema: ref(name) } } };
}

function ref(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

/** OpenAPI 3.1 has the dialect of JSON Schema that zod writes; it is said once for all, by the version. */
function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io });
  // Later versions answer with further keys, and those of requests are ignored.
  if (rest.additionalProperties === false) delete rest.additionalProperties;
  return rest;
}
