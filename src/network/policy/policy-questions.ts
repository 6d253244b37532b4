/** Questions about a policy, as a program without types may ask them. */
import * as z from 'zod';
import { once } from '../../base/once.ts';
import { approvalSchema } from '../../control/policy-schema.ts';
import { type ApprovalScope, PolicyError, type PolicyProbe } from '../../control/policy-view.ts';
import { anyText, problemText, readArgument } from '../call-arguments.ts';
import { printable } from '../option-problem.ts';
import { oneOf } from '../option-schema.ts';

const probeSchema = once(() =>
  z.strictObject({
    guest: anyText(),
    destination: anyText(),
    protocol: oneOf(['tcp', 'udp', 'icmp']),
  }),
);

/** @throws PolicyError */
export const readProbe = (given: unknown): PolicyProbe => read(probeSchema(), given);

/** @throws PolicyError */
export function requireText(what: string, given: unknown): void {
  if (typeof given === 'string') return;
  throw new PolicyError(`${what} must be a text, got ${printable(given, true)}.`);
}

/** @throws PolicyError */
export function requireFunction(what: string, given: unknown): void {
  if (typeof given === 'function') return;
  throw new PolicyError(`${what} must be a function, got ${printable(given, true)}.`);
}

/** @throws PolicyError */
export const readScope = (given: unknown): ApprovalScope => read(approvalSchema(), given);

function read<T>(schema: z.ZodType<T>, given: unknown): T {
  const result = readArgument(schema, given, 'it');
  if ('value' in result) return result.value;
  throw new PolicyError(`${problemText(result.problems)}.`);
}
