import { defineConfig } from "vite";

// The console is served from `/` under `default-src 'self'`: nothing is inlined, nothing comes from elsewhere.
export default defineConfig({
  base: "/",
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
