/** The drop-ins, by the name of the program in `dist/bin`; each is loaded when it is started. */
import type { DropIn } from './drop-in.ts';

export const DROP_INS: ReadonlyMap<string, () => Promise<DropIn<unknown>>> = new Map([
  ['hawser-gvproxy', async () => (await import('./gvproxy/gvproxy.ts')).GVPROXY],
]);
