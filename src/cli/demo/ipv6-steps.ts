/** The steps of an embedded guest by IPv6, those of IPv4 once more with less to move. */
import type { EmbeddedGuest } from '../../lab/guest/embedded-guest.ts';
import { seededSha256 } from '../../lab/seeded-stream.ts';
import {
  checkAddress,
  checkTransfer,
  downloadUrl,
  HOST_NAME,
  pings,
  type StepPlan,
} from '../../lab/step-plan.ts';
import { LeftOutError } from '../../lab/step-report.ts';
import type { StepRunner } from './step-runner.ts';

/**
 * @param plan undefined: guests have no IPv6
 * @returns the guest's address; undefined when there is none, and nothing more was tried
 */
export async function runIpv6Steps(
  guest: EmbeddedGuest,
  plan: StepPlan | undefined,
  runner: StepRunner,
): Promise<string | undefined> {
  let address: string | undefined;
  await runner.run('address-ipv6', 0, async () => {
    if (plan === undefined) throw new LeftOutError('left out: guests have no IPv6 here');
    address = await guest.ipv6Address(plan.gateway);
    return { detail: `${address}, of the network that the router announces` };
  });
  if (plan === undefined || address === undefined) return undefined;
  await runner.run('resolve-ipv6', 0, async () =>
    checkAddress(await guest.resolveIpv6(HOST_NAME, plan.gateway), plan),
  );
  for (const [step, target] of pings(plan)) {
    await runner.run(`${step}-ipv6`, 0, async () => {
      const ms = await guest.ping(target);
      return { detail: target, ms };
    });
  }
  const sum = seededSha256(plan.seed, plan.sizeBytes);
  await runner.run('download-ipv6', plan.sizeBytes, async (onProgress) =>
    checkTransfer(await guest.download(downloadUrl(plan), onProgress), plan.sizeBytes, sum),
  );
  return address;
}
