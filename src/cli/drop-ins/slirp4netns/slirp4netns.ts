/**
 * `hawser-slirp4netns`: the command line of slirp4netns, for launchers of rootless containers. The TAP is made before
 * anything is given up, in the namespaces of the launcher's child; then it is a link like any other.
 */
import { networkInterfaces } from 'node:os';
import { RunError } from '../../../network/errors.ts';
import { parseAddress } from '../../../services/address-text.ts';
import type { ServingDaemon } from '../../daemon.ts';
import { printOutput } from '../../output.ts';
import { checkReadyFd } from '../../readiness.ts';
import { announceByte } from '../announce-byte.ts';
import type { DropIn, Plan } from '../drop-in.ts';
import { named } from '../named.ts';
import { hasOwnApi, standIn } from '../own-api.ts';
import { firstAddressOf, openPlannedTap } from '../planned-tap.ts';
import { parseSlirpArguments, type SlirpRequest } from './arguments.ts';
import { SLIRP_HELP, slirpVersion } from './help.ts';
import { planSlirp } from './plan.ts';

/** What is served beside the network. */
export interface SlirpDialect {
  readonly apiSocket: string | undefined;
  /** Where ports of the API lead without an address. */
  readonly guest: string;
  readonly readyFd: number | undefined;
  readonly exitFd: number | undefined;
}

export const SLIRP4NETNS: DropIn<SlirpDialect> = {
  name: 'hawser-slirp4netns',
  plan: async (argv) => {
    const parsed = parseSlirpArguments(argv);
    switch (parsed.kind) {
      case 'help':
        printOutput(SLIRP_HELP);
        return 0;
      case 'version': {
        const { packageVersion } = await import('../../../network/version.ts');
        printOutput(slirpVersion(packageVersion()));
        return 0;
      }
      case 'bad':
        process.stderr.write(`hawser-slirp4netns: ${parsed.problem}\n${SLIRP_HELP}`);
        return 1;
      case 'run':
        return await planRun(parsed.request);
    }
  },
  sockets: ({ apiSocket }) => (apiSocket === undefined ? [] : [apiSocket]),
  serve: async ({ apiSocket, guest, readyFd, exitFd }, network, daemon) => {
    if (exitFd !== undefined) await watchExitFd(exitFd, daemon);
    if (apiSocket !== undefined) {
      const [{ HostForwards }, { serveHostForwards }] = await Promise.all([
        import('../../../control/slirp4netns/host-forwards.ts'),
        import('../../../control/slirp4netns/forwards-server.ts'),
      ]);
      const address = parseAddress(guest);
      if (address === undefined) throw new Error(`${guest} is not an address`);
      const forwards = new HostForwards(network.ports, address);
      daemon.makeDirectoriesFor(apiSocket);
      const serving = serveHostForwards(apiSocket, forwards, daemon.log);
      daemon.add(await named(`--api-socket ${apiSocket}`, serving));
      daemon.own(apiSocket);
    }
    if (readyFd !== undefined) daemon.whenReady(() => announceByte(readyFd, daemon.log));
  },
};

async function planRun(request: SlirpRequest): Promise<Plan<SlirpDialect>> {
  if (request.readyFd !== undefined) checkReadyFd(request.readyFd);
  const [{ buildConfig }, { realPlace }] = await Promise.all([
    import('../../config.ts'),
    import('../../runtime-dir.ts'),
  ]);
  const { options, words, tap, guest } = planSlirp(request, {
    pid: process.pid,
    addressOf: firstAddressOf(networkInterfaces()),
  });
  const config = buildConfig(
    options,
    undefined,
    realPlace(),
    standIn(words, hasOwnApi(process.env)),
  );
  if (tap !== undefined) await openPlannedTap(tap);
  const { apiSocket, readyFd, exitFd } = request;
  return {
    options: config,
    dialect: { apiSocket, guest: guest.toString(), readyFd, exitFd },
    kept: { descriptors: [readyFd, exitFd].filter((fd) => fd !== undefined) },
  };
}

/** slirp4netns ends when nobody can write to the descriptor any more. */
async function watchExitFd(fd: number, daemon: ServingDaemon): Promise<void> {
  const { watchEnd } = await import('../../reader-watch.ts');
  const onGone = (): void => daemon.stop('the other end of --exit-fd is closed');
  try {
    daemon.add({ close: watchEnd(fd, onGone) });
  } catch (cause) {
    const why = 'must be an open pipe or socket whose other end is watched';
    throw new RunError(`--exit-fd ${fd}: ${why}`, { cause });
  }
}
