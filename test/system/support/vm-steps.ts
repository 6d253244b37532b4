/** The planned steps of a virtual machine, each as it should be. */
import assert from 'node:assert/strict';
import { seededSha256 } from '../../../src/lab/seeded-stream.ts';
import type { StepPlan } from '../../../src/lab/step-plan.ts';
import { checkVmStep, vmSteps } from '../../../src/lab/vm/planned-steps.ts';
import type { VmHandle } from '../../../src/lab/vm/start-vm.ts';

/** Wait until `vm` has taken every step of `plan`, and has ended. */
export async function takesSteps(vm: VmHandle, plan: StepPlan): Promise<void> {
  const seen: string[] = [];
  const sum = seededSha256(plan.seed, plan.sizeBytes);
  for await (const result of vm.results) {
    const report = await checkVmStep(result, plan, sum);
    assert.ok(report.ok, `${report.step}: ${report.detail}`);
    seen.push(report.step);
  }
  const { status, tail } = await vm.ended;
  assert.equal(status, 0, tail.join('\n'));
  assert.deepEqual(seen, ['boot', ...vmSteps(plan).map((step) => step.name)]);
}
