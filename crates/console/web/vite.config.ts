import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";
import { defineConfig } from "vite";

/** Writes `licenses.txt`: what the libraries in the pages ask to be told along with them. */
function licenses(): Plugin {
  return {
    name: "licenses",
    generateBundle() {
      const folders = new Set<string>();
      for (const id of this.getModuleIds()) {
        const found = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id.replace(/^\0/, ""));
        if (found?.[1] && existsSync(join(found[1], "package.json"))) folders.add(found[1]);
      }
      const texts = [...folders].sort().map((folder) => {
        const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { name: string; version: string; license: string };
        const file = readdirSync(folder).find((name) => /^licen[sc]e/i.test(name));
        return `${about.name} ${about.version} (${about.license})\n\n${file ? readFileSync(join(folder, file), "utf8").trim() : "No licence text comes with it."}\n`;
      });
      this.emitFile({ type: "asset", fileName: "licenses.txt", source: texts.join("\n----------------\n\n") });
    },
  };
}

// The console is served from `/` under `default-src 'self'`: nothing is inlined, nothing comes from elsewhere.
export default defineConfig({
  base: "/",
  plugins: [licenses()],
  esbuild: { jsx: "automatic", legalComments: "none" },
  build: {
    target: "es2022",
    outDir: "dist",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rollupOptions: {
      // Libraries mark modules for servers that render; there is none.
      onwarn: (warning, warn) => (warning.code === "MODULE_LEVEL_DIRECTIVE" ? undefined : warn(warning)),
      output: {
        manualChunks: (id) =>
          /node_modules\/(react|react-dom|scheduler|@tanstack)\//.test(id) ? "vendor" : undefined,
      },
    },
  },
  server: { proxy: { "/api": process.env["SIDETAP_API"] ?? "http://127.0.0.1:8480" } },
});
