/** How a daemon comes into its sandbox, from the first start of its program. */
import type { DaemonSandbox } from '../daemon.ts';
import type { FirstStart, Kept } from './first-start.ts';
import { Sandbox } from './sandbox.ts';

/** Mostly it does not return: the program starts again, with fewer rights. */
export async function enterSandbox(start: FirstStart, kept: Kept = {}): Promise<DaemonSandbox> {
  const { sandbox: mode, user } = start.options;
  if (mode === 'off' && user === undefined) {
    await openTapsHere(start);
    return new Sandbox({ mode, isEntered: false });
  }
  const { partsOfLauncher } = await import('./launcher.ts');
  const given = user === undefined ? partsOfLauncher(process.env) : undefined;
  if (given !== undefined) {
    await openTapsHere(start);
    return new Sandbox({ mode, isEntered: true, parts: given });
  }
  const { startAgain } = await import('./first-start.ts');
  const { states } = await startAgain(start, kept);
  return new Sandbox({ mode, isEntered: false, parts: states });
}

/** Where there is no second start, for this one. */
async function openTapsHere({ options }: FirstStart): Promise<void> {
  if (!options.listen.some((link) => link.startsWith('tap:'))) return;
  const [{ addOpenedTaps }, { openTaps }] = await Promise.all([
    import('../../native/opened-taps.ts'),
    import('../tap/open-taps.ts'),
  ]);
  addOpenedTaps(openTaps(options));
}
