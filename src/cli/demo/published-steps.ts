/**
 * The steps from the host's side: a server in the guest is published, and fetched from by a client on the
 * host, once through the stack and once through the multiplexer to an agent in the guest.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { MuxLinkView, MuxPeerView } from '../../control/network-view.ts';
import type { OnProgress, Transfer } from '../../lab/guest/embedded-guest.ts';
import { seededSha256 } from '../../lab/seeded-stream.ts';
import { checkTransfer, inUrl, type StepPlan } from '../../lab/step-plan.ts';
import { LeftOutError } from '../../lab/step-report.ts';
import type { PortBook } from '../../proxy/ports/port-table.ts';
import type { Carrier } from '../../proxy/ports/publish-spec.ts';
import { parsePublish } from '../../proxy/ports/publish-text.ts';
import type { StepRunner } from './step-runner.ts';

/** The part of the running network, and of the host, that the steps use. */
export interface PublishingHost {
  readonly ports: Pick<PortBook, 'publish'>;
  muxLinks(): readonly MuxLinkView[];
  /** Fetch on the host, outside this process. */
  fetch(url: string, onProgress: OnProgress): Promise<Transfer>;
}

/** What the guest serves. */
export interface Served {
  /** The guest's. */
  readonly address: string;
  readonly port: number;
  /** Of the plan's bytes, on that server. */
  readonly path: string;
  /** The same by IPv6. */
  readonly ipv6: ServedIpv6 | undefined;
}

export interface ServedIpv6 {
  readonly address: string;
  readonly plan: StepPlan;
  readonly path: string;
}

/** Where the agent in the guest listens for a link `guest:PORT`. */
export const MUX_PORT = 4099;
const MUX_UP_MS = 10_000;
const LOOK_MS = 10;

/**
 * @param startAgent who the agent is, once it runs; throws {@link LeftOutError} where there can be none
 * @param serve starts the guest's server
 * @returns the URL of the guest's server on this host; undefined when it could not be published
 */
export async function runPublishedSteps(
  runner: StepRunner,
  host: PublishingHost,
  plan: StepPlan,
  sum: string,
  startAgent: () => Promise<string>,
  serve: () => Promise<Served>,
): Promise<string | undefined> {
  let skipped: LeftOutError | undefined;
  await runner.run('mux-up', 0, async () => {
    try {
      const who = await startAgent();
      const { dialect, role } = await muxUp(host);
      return { detail: `${who}; the host is the ${role} and speaks the dialect "${dialect}"` };
    } catch (error) {
      if (error instanceof LeftOutError) skipped = error;
      throw error;
    }
  });
  let served: Served | undefined;
  let url: string | undefined;
  await runner.run('publish', 0, async () => {
    served = await serve();
    const port = await publish(host, served, 'net');
    url = `http://127.0.0.1:${port}`;
    return { detail: `127.0.0.1:${port} leads to port ${served.port} of ${served.address}` };
  });
  const fetch = async (at: string, onProgress: OnProgress, route: string) => {
    const transfer = await host.fetch(at, onProgress);
    return checkTransfer(transfer, plan.sizeBytes, sum, `, ${route}`);
  };
  await runner.run('fetch-port', plan.sizeBytes, async (onProgress) => {
    if (served === undefined || url === undefined) throw new Error('no port is published');
    return await fetch(`${url}${served.path}`, onProgress, 'through the published port');
  });
  await runner.run('fetch-mux', plan.sizeBytes, async (onProgress) => {
    if (skipped !== undefined) throw skipped;
    if (served === undefined) throw new Error('the guest serves nothing');
    const port = await publish(host, served, 'mux');
    const at = `http://127.0.0.1:${port}${served.path}`;
    return await fetch(at, onProgress, `through 127.0.0.1:${port} and the multiplexer`);
  });
  if (served?.ipv6 !== undefined) await runIpv6Fetch(runner, host, served, served.ipv6);
  return url;
}

async function runIpv6Fetch(
  runner: StepRunner,
  host: PublishingHost,
  served: Served,
  { address, plan, path }: ServedIpv6,
): Promise<void> {
  const { sizeBytes, seed } = plan;
  await runner.run('fetch-ipv6', sizeBytes, async (onProgress) => {
    const port = await publishIpv6(host, served, address);
    const transfer = await host.fetch(`http://[::1]:${port}${path}`, onProgress);
    const note = `, through [::1]:${port}`;
    return checkTransfer(transfer, sizeBytes, seededSha256(seed, sizeBytes), note);
  });
}

/** What the host's system says to `::1` where it has none. */
const NO_LOOPBACK6: ReadonlySet<unknown> = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT']);

async function publishIpv6(host: PublishingHost, served: Served, address: string): Promise<number> {
  try {
    return await publish(host, { ...served, address }, 'net', '::1');
  } catch (error) {
    if (!NO_LOOPBACK6.has(codeOf(error))) throw error;
    throw new LeftOutError('left out: this host has no ::1', { cause: error });
  }
}

/** Of the system, be it inside another error. */
function codeOf(error: unknown): unknown {
  if (!(error instanceof Error)) return undefined;
  return error.cause === undefined && 'code' in error ? error.code : codeOf(error.cause);
}

/** @returns the port of the host's loopback, picked by the system */
async function publish(
  host: PublishingHost,
  served: Served,
  via: Carrier,
  loopback: '127.0.0.1' | '::1' = '127.0.0.1',
): Promise<number> {
  // The agent dials the guest's own loopback.
  const target = via === 'net' ? `${inUrl(served.address)}:${served.port}` : `${served.port}`;
  const [spec] = parsePublish(`${inUrl(loopback)}:0:${target}`);
  if (spec === undefined) throw new Error(`${target} is nothing to publish`);
  const published = await host.ports.publish({ ...spec, via }, 'api');
  return published.protocol === 'unix' ? 0 : published.hostPort;
}

async function muxUp(host: PublishingHost): Promise<MuxPeerView> {
  const deadline = performance.now() + MUX_UP_MS;
  for (;;) {
    const links = host.muxLinks();
    const ready = links.flatMap(({ peers }) => peers).find(({ state }) => state === 'ready');
    if (ready !== undefined) return ready;
    if (performance.now() > deadline) {
      const problems = links.map(({ link, problem }) => `${link}: ${problem}`);
      throw new Error(`the multiplexer does not come up (${problems.join('; ')})`);
    }
    await delay(LOOK_MS);
  }
}
