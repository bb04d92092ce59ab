// What was asked for is not ready: nothing went wrong, and it may still become so. The program ends with code 3.

/** The exit code: a service is not complete. */
export const EXIT_NOT_READY = 3;

/** Why, in a sentence, with a line for each service. */
export class NotReadyError extends Error {
  override readonly name = "NotReadyError";
}
