/**
 * `hawser-pasta`: the command line of pasta, as podman 5 starts it for rootless containers. The TAP is made before anything
 * is given up, in the namespace that is there already; then it is a link like any other.
 */
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import type { IpAddress } from '../../../base/ip-address.ts';
import type { HostTargets } from '../../../proxy/address-map.ts';
import { parseAddress } from '../../../services/address-text.ts';
import { printOutput } from '../../output.ts';
import { checkReadyFd } from '../../readiness.ts';
import { announceByte } from '../announce-byte.ts';
import type { DropIn, Plan } from '../drop-in.ts';
import { hasOwnApi, standIn } from '../own-api.ts';
import { firstAddressOf, openPlannedTap } from '../planned-tap.ts';
import { type PastaRequest, parsePastaArguments } from './arguments.ts';
import { PASTA_HELP } from './help.ts';
import { planPasta } from './plan.ts';

/** What is served beside the network. */
export interface PastaDialect {
  /** The host is known by its own addresses. */
  readonly leadsToHostAddress: boolean;
  /** Ends when it is removed. */
  readonly netns: string | undefined;
  readonly readyFd: number | undefined;
  readonly withoutEffect: readonly string[];
}

/** Any that only the default route leads to (RFC 5737, RFC 3849). */
const [ELSEWHERE, ELSEWHERE6] = ['203.0.113.1', '2001:db8::1'];

export const PASTA: DropIn<PastaDialect> = {
  name: 'hawser-pasta',
  plan: async (argv) => {
    const parsed = parsePastaArguments(argv);
    switch (parsed.kind) {
      case 'help':
        printOutput(PASTA_HELP);
        return 0;
      case 'version': {
        const { packageVersion } = await import('../../../network/version.ts');
        printOutput(`pasta hawser-${packageVersion()}\n`);
        return 0;
      }
      case 'bad':
        process.stderr.write(`hawser-pasta: ${parsed.problem}\n`);
        return 1;
      case 'run': {
        if (parsed.request.isForeground) return await planRun(parsed.request);
        const { startInBackground } = await import('../background.ts');
        return await startInBackground(argv);
      }
    }
  },
  sockets: () => [],
  serve: async ({ leadsToHostAddress, netns, readyFd, withoutEffect }, network, daemon) => {
    for (const why of withoutEffect) daemon.log.warn({}, `without effect: ${why}`);
    if (leadsToHostAddress) await network.leadHostTo(ownAddresses);
    if (netns !== undefined) {
      const { watchNetns } = await import('../../netns-watch.ts');
      daemon.add({ close: watchNetns(netns, () => daemon.stop(`${netns} is gone`)) });
    }
    if (readyFd !== undefined) daemon.whenReady(() => announceByte(readyFd, daemon.log));
  },
};

async function planRun(request: PastaRequest): Promise<Plan<PastaDialect>> {
  if (request.readyFd !== undefined) checkReadyFd(request.readyFd);
  const [{ buildConfig }, { realPlace }] = await Promise.all([
    import('../../config.ts'),
    import('../../runtime-dir.ts'),
  ]);
  const { options, words, tap, leadsToHostAddress, withoutEffect } = planPasta(request, {
    pid: process.pid,
    addressOf: firstAddressOf(networkInterfaces()),
  });
  const config = buildConfig(
    options,
    undefined,
    realPlace(),
    standIn(words, hasOwnApi(process.env)),
  );
  await openPlannedTap(tap);
  const { readyFd, endsWithNetns } = request;
  return {
    options: config,
    dialect: {
      leadsToHostAddress,
      netns: endsWithNetns ? tap.place.netns : undefined,
      readyFd,
      withoutEffect,
    },
    kept: { descriptors: readyFd === undefined ? [] : [readyFd] },
  };
}

/**
 * From which the host reaches others; without a default route the first that others may know it by. Undefined: the
 * kernel cannot be asked now, as without descriptors.
 */
async function ownAddresses(): Promise<HostTargets | undefined> {
  const { sourceAddressTo } = await import('../../../native/source-address.ts');
  try {
    const all = Object.values(networkInterfaces()).flatMap((infos) => infos ?? []);
    const find = async (to: string, family: string): Promise<IpAddress | undefined> => {
      const found = await sourceAddressTo(to);
      if ('address' in found) return parseAddress(found.address);
      const isOuter = (one: NetworkInterfaceInfo): boolean =>
        one.family === family && !one.internal && !one.address.startsWith('fe80:');
      return parseAddress(all.find(isOuter)?.address ?? '');
    };
    return { ipv4: await find(ELSEWHERE, 'IPv4'), ipv6: await find(ELSEWHERE6, 'IPv6') };
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) return undefined;
    throw error;
  }
}
