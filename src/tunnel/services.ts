export * from "../service.ts";
