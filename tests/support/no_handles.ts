// Preloaded by a test (`deno run --preload`): a runtime that gives its handles to nobody.

import process from "node:process";

Object.assign(process, {
  binding: (module: string) => {
    throw new Error(`No such module: ${module}`);
  },
});
