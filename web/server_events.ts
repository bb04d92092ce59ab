// Server-sent events out of a stream of text. EventSource would read them, but cannot show a token. Pure.
// https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

/** An event as it was sent. */
export interface ServerEvent {
  name: string;
  data: string;
}

/** Reads events from pieces of text, which may end anywhere. */
export class ServerEventReader {
  /** Pieces of the event that has not ended: they are joined once, for it may be large. */
  #pieces: string[] = [];

  /** The events that end with this piece. */
  take(piece: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    // The end of an event is two characters, which two pieces may share.
    const last = this.#pieces.pop() ?? "";
    let rest = last + piece;
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      events.push(parse(this.#pieces.join("") + rest.slice(0, end)));
      this.#pieces = [];
      rest = rest.slice(end + 2);
    }
    if (rest.length > 1) this.#pieces.push(rest.slice(0, -1));
    this.#pieces.push(rest.slice(-1));
    return events;
  }
}

/** The connector sends both lines, and nothing else. */
function parse(text: string): ServerEvent {
  const [first = "", second = ""] = text.split("\n");
  return { name: first.slice("event: ".length), data: second.slice("data: ".length) };
}
