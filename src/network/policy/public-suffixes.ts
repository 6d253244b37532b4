/** The public suffix list, as far as rules of names need it: loaded when there is one. */
import type { SuffixFacts } from '../../services/policy/policy-name.ts';

/** Strangers have names below these, which the list names by parts alone, or not at all. */
const SHARED: ReadonlySet<string> = new Set([
  ...['amazonaws.com', 'amazonaws.com.cn', 'awsglobalaccelerator.com', 'on.aws', 'windows.net'],
  ...[
    'azure.com',
    'azure.net',
    'azureedge.net',
    'azurefd.net',
    'cloudapp.net',
    'trafficmanager.net',
  ],
  ...['googleapis.com', 'googleusercontent.com', 'googlevideo.com', 'cloudflarestorage.com'],
  ...[
    'akamaized.net',
    'akamaihd.net',
    'akamaiedge.net',
    'akamai.net',
    'edgekey.net',
    'edgesuite.net',
  ],
  ...['fastly.net', 'fastlylb.net', 'b-cdn.net', 'cdn77.org', 'digitaloceanspaces.com'],
  ...['aliyuncs.com', 'myqcloud.com', 'oraclecloud.com', 'backblazeb2.com', 'wasabisys.com'],
]);

/** In a turn of its own: the list is long. */
export async function publicSuffixes(): Promise<SuffixFacts> {
  await new Promise((resolve) => setImmediate(resolve));
  const { getPublicSuffix } = await import('tldts');
  const isSuffix = (name: string, allowPrivateDomains: boolean): boolean =>
    getPublicSuffix(name, { allowPrivateDomains }) === name;
  return {
    isRegistry: (name) => isSuffix(name, false),
    isShared: (name) => SHARED.has(name) || isSuffix(name, true),
  };
}
