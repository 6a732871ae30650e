import { fatherSignsIn, stranger, tokenIsRotated, wrongSecretAndTooLarge } from "./at-the-gate.ts";
import { destroyAndAdopt, grandmotherJoins, upAgain, upFromNothing } from "./deploying.ts";
import { backupRuns, diskIsMissing } from "./disks-and-backup.ts";
import { phoneUploads, photoComesBack, powerIsCut } from "./photos-at-home.ts";
import type { Step } from "./step.ts";

/** The whole life of a house, in its order. */
export const story: Step[] = [
  upFromNothing,
  upAgain,
  stranger,
  fatherSignsIn,
  phoneUploads,
  wrongSecretAndTooLarge,
  backupRuns,
  photoComesBack,
  grandmotherJoins,
  tokenIsRotated,
  powerIsCut,
  diskIsMissing,
  destroyAndAdopt,
];
