// Builds the unit tests with Vite and runs them with node's own runner.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));
await build({
  root,
  configFile: false,
  logLevel: "error",
  build: { ssr: "tests/unit.test.ts", outDir: "tests/out", emptyOutDir: true, rollupOptions: { output: { entryFileNames: "unit.mjs" } } },
});
const { status } = spawnSync(process.execPath, ["--test", "tests/out/unit.mjs"], { cwd: root, stdio: "inherit" });
process.exit(status ?? 1);
