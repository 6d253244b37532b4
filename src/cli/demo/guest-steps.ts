/** The self-check of an embedded guest. */
import type { EmbeddedGuest, LeaseInfo } from '../../lab/guest/embedded-guest.ts';
import { seededSha256 } from '../../lab/seeded-stream.ts';
import {
  bytesPath,
  checkAddress,
  checkTransfer,
  downloadUrl,
  HOST_NAME,
  pings,
  planOfIpv6,
  type StepPlan,
  uploadUrl,
} from '../../lab/step-plan.ts';
import { runIpv6Steps } from './ipv6-steps.ts';
import { MUX_PORT, type PublishingHost, runPublishedSteps } from './published-steps.ts';
import type { StepRunner } from './step-runner.ts';

/**
 * Run every step; those after a failed lease are not tried.
 *
 * @returns the URL of the guest's server on this host, if it came to that
 */
export async function runGuestSteps(
  guest: EmbeddedGuest,
  plan: StepPlan,
  runner: StepRunner,
  host: PublishingHost,
): Promise<string | undefined> {
  const sum = seededSha256(plan.seed, plan.sizeBytes);
  let address = '';
  const hasLease = await runner.run('lease', 0, async () => {
    const lease = await guest.lease();
    address = lease.address;
    return { detail: describeLease(lease) };
  });
  if (!hasLease) return undefined;
  // Early: the host dials ever more rarely, and is to have found the agent when it is used.
  const agent = guest.startAgent(MUX_PORT);
  agent.catch(() => {}); // its step says so
  await runner.run('resolve', 0, async () => checkAddress(await guest.resolve(HOST_NAME), plan));
  for (const [step, target] of pings(plan)) {
    await runner.run(step, 0, async () => {
      const ms = await guest.ping(target);
      return { detail: target, ms };
    });
  }
  await runner.run('download', plan.sizeBytes, async (onProgress) =>
    checkTransfer(await guest.download(downloadUrl(plan), onProgress), plan.sizeBytes, sum),
  );
  await runner.run('upload', plan.sizeBytes, async (onProgress) => {
    const transfer = await guest.upload(uploadUrl(plan), plan.seed, plan.sizeBytes, onProgress);
    return checkTransfer(transfer, plan.sizeBytes, sum);
  });
  const ipv6 = planOfIpv6(plan);
  const address6 = await runIpv6Steps(guest, ipv6, runner);
  const serve = async () => ({
    address,
    port: await guest.serve(),
    path: bytesPath(plan),
    ipv6:
      ipv6 === undefined || address6 === undefined
        ? undefined
        : { address: address6, plan: ipv6, path: bytesPath(ipv6) },
  });
  return await runPublishedSteps(runner, host, plan, sum, () => agent, serve);
}

const describeLease = (lease: LeaseInfo): string =>
  `${lease.address}/${lease.prefixLen}, router ${lease.router}, DNS ${lease.dns}, MTU ${lease.mtu || 'not given'}, by ${lease.client}`;
