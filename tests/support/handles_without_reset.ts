// Preloaded by a test (`deno run --preload`): a runtime whose handles close a connection where they should reset it.

import process from "node:process";

const { binding } = process as unknown as { binding: (module: string) => unknown };
const { TCP } = binding("tcp_wrap") as {
  TCP: { prototype: { reset: () => number; close: () => void } };
};
TCP.prototype.reset = function (): number {
  this.close();
  return 0;
};
