/** {@link KubeApi} as a process: `kube-api-main.js PORT KUBECONFIG`. */
import { writeFileSync } from 'node:fs';
import { KubeApi } from '../../support/kube-api.ts';

const [, , port = '', kubeconfig = ''] = process.argv;
const api = new KubeApi();
await api.start('127.0.0.1', Number(port));
writeFileSync(kubeconfig, api.kubeconfig);
