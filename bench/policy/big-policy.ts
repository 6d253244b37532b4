/** A policy of many rules, of all kinds, of which the last allows what is measured. */

/** Below it are names that the rules allow. */
export const DOMAIN = 'bench.test';

export function bigPolicy(rules: number): object {
  const port = (n: number): string => `${20_000 + (n % 9_000)}-${20_009 + (n % 9_000)}`;
  const kinds = [
    (n: number) => ({ name: `n${n}.${DOMAIN}`, port: 443, protocol: 'tcp' }),
    (n: number) => ({ cidr: `10.${n >> 8}.${n & 255}.0/24`, port: port(n) }),
    (n: number) => ({ name: `*.w${n}.${DOMAIN}` }),
    (n: number) => ({ port: port(n), protocol: 'udp', to: 'outside' }),
    (n: number) => ({ guest: `g${n % 100}`, port: port(n), to: 'host' }),
  ];
  const list = Array.from({ length: rules - 2 }, (_, n) => ({
    [n % 3 === 2 ? 'deny' : 'allow']: kinds[n % kinds.length]?.(n),
  }));
  return {
    default: 'deny',
    rules: [
      ...list,
      { allow: { name: `*.${DOMAIN}` } },
      { allow: { to: 'host', port: '5000-5999' } },
    ],
  };
}
