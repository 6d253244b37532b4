/** Steps for a guest that no network serves. */
import { seededSha256 } from '../../src/lab/seeded-stream.ts';
import type { StepPlan } from '../../src/lab/step-plan.ts';

export const PLAN: StepPlan = {
  gateway: '192.168.127.1',
  hostIp: '192.168.127.254',
  ipv6: { gateway: 'fd12:3456::1', hostIp: 'fd12:3456::254' },
  port: 8000,
  sizeBytes: 5000,
  seed: 1,
};
/** Of the plan's transfers. */
export const SUM: string = seededSha256(PLAN.seed, PLAN.sizeBytes);
