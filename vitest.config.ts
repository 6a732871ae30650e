import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/long/**"],
    // Two cores, real servers and a virtual machine: files one after the other.
    fileParallelism: false,
    // The pretend provider tries eleven times over three minutes, as the real one; here in seconds.
    env: { OUCHI_REHEARSAL_HASTE: "0.02", OUCHI_CUT_STRIDE: "5" },
    testTimeout: 180_000,
    hookTimeout: 240_000,
  },
});
