import { defineConfig } from "vitest/config";

// The whole story, on the virtual Pi, and what takes long besides.
export default defineConfig({
  test: {
    include: ["test/long/**/*.test.ts", "test/rehearsal/host/{upgrade,fresh-pi,lost-line}.test.ts"],
    fileParallelism: false,
    // Hours: each test is told when it has ended.
    reporters: ["verbose"],
    // As in vitest.config.ts.
    env: { OUCHI_REHEARSAL_HASTE: "0.02" },
    testTimeout: 180_000,
    hookTimeout: 240_000,
  },
});
