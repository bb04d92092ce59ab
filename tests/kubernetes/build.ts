// Builds the API server of these tests, so that they need not wait for it: `.ci/run` begins it early.

import { buildApiServer } from "./cluster.ts";

await buildApiServer();
