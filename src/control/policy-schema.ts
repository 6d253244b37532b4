/** Schemas of what the API says about the policy. */
import * as z from 'zod';
import { once } from '../base/once.ts';
import type {
  ApprovalScope,
  PolicyDenialView,
  PolicyStateView,
  PolicySuggestionView,
  PolicyVerdictView,
} from './policy-view.ts';
import type { Schema } from './schema.ts';

export interface PolicyDenials {
  readonly denials: readonly PolicyDenialView[];
}

export const policyStateSchema: Schema<PolicyStateView> = once(() =>
  z.object({
    generation: z.int().nonnegative(),
    hash: z.string(),
    document: z.record(z.string(), z.unknown()).nullable(),
    warnings: z.array(z.string()),
  }),
);

export const policyVerdictSchema: Schema<PolicyVerdictView> = once(() =>
  z.object({
    action: z.enum(['allow', 'deny', 'reject', 'drop']),
    rule: z.string(),
    index: z.int().nullable(),
    bestEffort: z.boolean(),
    observed: z.boolean(),
    inspected: z.boolean(),
  }),
);

const nullableText = z.string().nullable();

export const policyDenialsSchema: Schema<PolicyDenials> = once(() =>
  z.object({
    denials: z.array(
      z.object({
        id: z.string(),
        guestId: z.int().nonnegative(),
        guest: nullableText,
        protocol: z.enum(['tcp', 'udp', 'icmp', 'dns', 'ip']),
        name: nullableText,
        address: nullableText,
        port: z.int().nonnegative(),
        place: z.enum(['host', 'gateway', 'guest', 'private', 'outside']).nullable(),
        why: z.string(),
        observed: z.boolean(),
        count: z.int().positive(),
        first: z.string(),
        last: z.string(),
        others: z.array(z.string()),
      }),
    ),
  }),
);

export const approvalSchema: Schema<ApprovalScope> = once(() =>
  z.strictObject({
    anyGuest: z.boolean().optional(),
    anyPort: z.boolean().optional(),
    port: z.string().optional(),
    until: z.string().optional(),
  }),
);

export const policySuggestionSchema: Schema<PolicySuggestionView> = once(() =>
  z.object({ document: z.record(z.string(), z.unknown()) }),
);
