/** What `-version` prints, and the log begins with. */
export const versionText = (version: string): string => `gvproxy version v${version}-hawser`;
