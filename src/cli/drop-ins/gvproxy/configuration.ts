/** gvproxy's configuration, with the keys of its YAML file (`cmd/gvproxy/config.go`, `pkg/types/configuration.go`). */

/** A key that may be left out, or stand without a value. */
type Maybe<T> = T | null | undefined;
type MaybeMap = Maybe<Readonly<Record<string, string>>>;

/** The file, as it was written; keys that gvproxy does not know are left out. */
export interface GvproxyFile {
  readonly listen?: Maybe<readonly string[]>;
  readonly 'log-level'?: Maybe<string>;
  readonly stack?: Maybe<FileStack>;
  readonly interfaces?: Maybe<Readonly<Partial<Record<Interface, Maybe<string>>>>>;
  readonly forwards?: Maybe<readonly Readonly<Partial<Record<keyof SshForward, Maybe<string>>>>[]>;
  readonly 'pid-file'?: Maybe<string>;
  readonly 'log-file'?: Maybe<string>;
  readonly services?: Maybe<string>;
  readonly 'ec2-metadata-access'?: Maybe<boolean>;
  readonly notification?: Maybe<string>;
}

export interface FileStack {
  readonly debug?: Maybe<boolean>;
  readonly 'capture-file'?: Maybe<string>;
  readonly mtu?: Maybe<number>;
  readonly subnet?: Maybe<string>;
  readonly gatewayIP?: Maybe<string>;
  readonly deviceIP?: Maybe<string>;
  readonly hostIP?: Maybe<string>;
  readonly gatewayMacAddress?: Maybe<string>;
  readonly dns?: Maybe<readonly FileZone[]>;
  readonly dnsSearchDomains?: Maybe<readonly string[]>;
  readonly forwards?: MaybeMap;
  readonly nat?: MaybeMap;
  readonly gatewayVirtualIPs?: Maybe<readonly string[]>;
  readonly dhcpStaticLeases?: MaybeMap;
  readonly vpnKitUUIDMacAddresses?: MaybeMap;
  readonly ec2MetadataAccess?: Maybe<boolean>;
  readonly tcpMaxInFlight?: Maybe<string>;
  readonly tcpConnectTimeout?: Maybe<string>;
}

export interface FileZone {
  readonly name?: Maybe<string>;
  readonly records?: Maybe<
    readonly {
      readonly name?: Maybe<string>;
      readonly ip?: Maybe<string>;
      readonly regexp?: Maybe<string>;
    }[]
  >;
  readonly defaultIP?: Maybe<string>;
}

export interface GvproxyRecord {
  readonly name: string;
  readonly ip: string;
  /** Undefined: the name is whole. */
  readonly regexp: string | undefined;
}

export interface GvproxyZone {
  readonly name: string;
  readonly records: readonly GvproxyRecord[];
  /** Empty: none. */
  readonly defaultIP: string;
}

export interface SshForward {
  readonly socket: string;
  readonly dest: string;
  readonly user: string;
  readonly identity: string;
}

export const INTERFACES = ['vpnkit', 'qemu', 'bess', 'stdio', 'vfkit'] as const;
export type Interface = (typeof INTERFACES)[number];

/** With every default filled in. Texts are empty where nothing is set. */
export interface GvproxyConfig {
  readonly listen: readonly string[];
  readonly logLevel: string;
  readonly logFile: string;
  readonly pidFile: string;
  readonly services: string;
  /** A path. */
  readonly notification: string;
  readonly interfaces: Readonly<Record<Interface, string>>;
  readonly forwards: readonly SshForward[];
  readonly stack: StackConfig;
  /** What does nothing, and why. */
  readonly withoutEffect: readonly string[];
}

export interface StackConfig {
  readonly debug: boolean;
  readonly captureFile: string;
  readonly mtu: number;
  readonly subnet: string;
  readonly gatewayIP: string;
  readonly deviceIP: string;
  readonly hostIP: string;
  readonly gatewayMacAddress: string;
  readonly dns: readonly GvproxyZone[];
  /** Undefined: the host's. */
  readonly dnsSearchDomains: readonly string[] | undefined;
  readonly forwards: Readonly<Record<string, string>>;
  readonly nat: Readonly<Record<string, string>>;
  readonly gatewayVirtualIPs: readonly string[];
  readonly dhcpStaticLeases: Readonly<Record<string, string>>;
  readonly vpnKitUUIDMacAddresses: Readonly<Record<string, string>>;
  readonly ec2MetadataAccess: boolean;
}
