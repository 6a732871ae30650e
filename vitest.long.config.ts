import { defineConfig } from "vitest/config";

// The whole story, on the virtual Pi.
export default defineConfig({
  test: {
    include: ["test/long/**/*.test.ts"],
    fileParallelism: false,
  },
});
