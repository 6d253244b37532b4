/** `GET /v1/denials` of the guest API: what a guest was denied, and why, so that it need not guess. */
import * as z from 'zod';
import { once } from '../../base/once.ts';
import { JSON_TYPE, json, type Route } from '../route.ts';
import type { Schema } from '../schema.ts';

export interface GuestDenialView {
  /** `dns`: it asked for a name. `ip`: it looked for another guest, for whatever it was. */
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'dns' | 'ip';
  /** That it asked for, or by which it found the address. */
  readonly name: string | null;
  readonly address: string | null;
  readonly port: number;
  /** The rule that forbids it, or another reason. */
  readonly why: string;
  /** The policy only observes: it was let pass. */
  readonly observed: boolean;
  readonly count: number;
  readonly first: string;
  readonly last: string;
}

export interface DenialTarget {
  /** Of the guest that asks, the last one first. */
  readonly denials: () => readonly GuestDenialView[];
}

const denialsSchema: Schema<{ readonly denials: readonly GuestDenialView[] }> = once(() => {
  const text = z.string();
  const count = z.int().nonnegative();
  const denial = z.object({
    protocol: z.enum(['tcp', 'udp', 'icmp', 'dns', 'ip']),
    ...{ name: text.nullable(), address: text.nullable(), port: count, why: text },
    ...{ observed: z.boolean(), count, first: text, last: text },
  });
  return z.object({ denials: z.array(denial) });
});

export const DENIAL_ROUTES: readonly Route<DenialTarget>[] = [
  {
    method: 'GET',
    path: '/v1/denials',
    summary: 'What this guest was denied, and why.',
    query: [],
    success: 200,
    mediaType: JSON_TYPE,
    schema: denialsSchema,
    body: undefined,
    handle: (_call, { denials }) => json({ denials: denials() }),
  },
];
