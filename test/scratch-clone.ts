import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";

const repository = join(import.meta.dirname, "..");

/** A clone of this repository after `npm ci`, with the packages of this one; `name` is its folder's. */
export class ScratchClone {
  readonly #scratch = mkdtempSync(join(tmpdir(), "ouchi-clone-"));
  readonly folder: string;

  constructor(name = "clone") {
    this.folder = join(this.#scratch, name);
    mkdirSync(join(this.folder, "node_modules"), { recursive: true });
    for (const each of readdirSync(repository)) {
      if (["node_modules", "test", "docs", ".git", ".rehearsal"].includes(each)) continue;
      cpSync(join(repository, each), join(this.folder, each), { recursive: true });
    }
    for (const each of readdirSync(join(repository, "node_modules"))) {
      const [from, to] = [repository, this.folder].map((root) => join(root, "node_modules", each));
      if (each === ".package-lock.json") copyFileSync(from!, to!);
      else if (each !== ".cache") symlinkSync(from!, to!);
    }
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  ouchi(...words: string[]) {
    return execa(this.path("cli/ouchi"), words, { reject: false, cwd: this.folder });
  }

  remove(): void {
    rmSync(this.#scratch, { recursive: true, force: true });
  }
}
