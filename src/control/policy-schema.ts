/** Schemas of what the API says about the policy. */
import * as z from 'zod';
import { once } from '../base/once.ts';
import type { PolicyStateView, PolicyVerdictView } from './policy-view.ts';
import type { Schema } from './schema.ts';

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
  }),
);
