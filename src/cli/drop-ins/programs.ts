/** The drop-ins, by the name of the program in `dist/bin`; each is loaded when it is started. */
import type { DropIn } from './drop-in.ts';

type Load = () => Promise<DropIn<unknown>>;

export const DROP_INS: ReadonlyMap<string, Load> = new Map<string, Load>([
  ['hawser-gvproxy', async () => (await import('./gvproxy/gvproxy.ts')).GVPROXY],
  ['hawser-pasta', async () => (await import('./pasta/pasta.ts')).PASTA],
  ['hawser-slirp4netns', async () => (await import('./slirp4netns/slirp4netns.ts')).SLIRP4NETNS],
  ['hawser-vpnkit', async () => (await import('./vpnkit/vpnkit.ts')).VPNKIT],
]);

/** Those that are commands of `hawser`. */
export const COMMANDS: ReadonlyMap<string, Load> = new Map<string, Load>([
  ['usernet', async () => (await import('./usernet/usernet.ts')).USERNET],
]);
