/**
 * Packages that are files beside a program, and that a daemon may need long after its start: whoever upgrades hawser meanwhile
 * has replaced or removed them by then. Their text is kept from readiness on, and run when it is asked for: most never is, and
 * takes ten times the memory then.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Script } from 'node:vm';

/** Of those that the build sets apart (`tools/bundle.ts`). */
export const LATE_PACKAGES = ['prom-client', 're2js', 'tldts'] as const;

interface Kept {
  readonly file: string;
  readonly text: string;
}

type Require = (id: string) => unknown;

export class KeptPackages {
  /** By what they are required as. */
  private readonly kept = new Map<string, Kept>();
  private readonly loaded = new Map<string, unknown>();
  private readonly require: Require;
  private readonly dir: string;

  /** @param program beside which they are */
  constructor(program: string) {
    this.require = createRequire(program);
    this.dir = dirname(program);
  }

  /** What cannot be read is looked for when it is needed. */
  keep(): void {
    for (const name of LATE_PACKAGES) {
      const file = join(this.dir, `${name}.js`);
      try {
        this.kept.set(`./${name}.js`, { file, text: readFileSync(file, 'utf8') });
      } catch {}
    }
  }

  /** `require` of the program. */
  readonly load: Require = (id) => {
    const kept = this.kept.get(id);
    if (kept === undefined) return this.require(id);
    if (!this.loaded.has(id)) this.loaded.set(id, this.run(kept));
    return this.loaded.get(id);
  };

  private run({ file, text }: Kept): unknown {
    const made: { exports: unknown } = { exports: {} };
    const script = new Script(`(function (exports, require, module) {${text}\n})`, {
      filename: file,
    });
    script.runInThisContext()(made.exports, this.require, made);
    return made.exports;
  }
}
