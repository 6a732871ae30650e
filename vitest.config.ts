import { defineConfig } from "vitest/config";

const story = "test/rehearsal/story.test.ts";

export default defineConfig({
  test: {
    // The pretend provider tries eleven times over three minutes, as the real one; here in seconds.
    env: { OUCHI_REHEARSAL_HASTE: "0.02", OUCHI_CUT_STRIDE: "5" },
    testTimeout: 180_000,
    hookTimeout: 240_000,
    // Each file makes its own world, so two cores take two at a time; the virtual Pi wants both for itself.
    projects: [
      {
        extends: true,
        test: {
          name: "parts",
          include: ["test/**/*.test.ts"],
          exclude: ["test/long/**", story],
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: { name: "house", include: [story], maxWorkers: 1, sequence: { groupOrder: 2 } },
      },
    ],
  },
});
