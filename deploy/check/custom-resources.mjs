// Reads objects of other projects' kinds from standard input and refuses what their schemas do not define: the types know
// every field and refuse others, the schemas know patterns and bounds.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where the models of a kind are, by its apiVersion. */
const MODULES = {
  'gateway.networking.k8s.io/v1': '@kubernetes-models/gateway-api/gateway.networking.k8s.io',
  'monitoring.coreos.com/v1': '@kubernetes-models/prometheus-operator/monitoring.coreos.com',
  'keda.sh/v1alpha1': '@kubernetes-models/keda/keda.sh',
  'external-secrets.io/v1': '@kubernetes-models/external-secrets/external-secrets.io',
  'bitnami.com/v1alpha1': '@kubernetes-models/sealed-secrets/bitnami.com',
  'cert-manager.io/v1': '@kubernetes-models/cert-manager/cert-manager.io',
};

const objects = JSON.parse(readFileSync(0, 'utf8'));
const problems = [...typeErrors(objects), ...(await schemaErrors(objects))];
problems.forEach((problem) => console.log(problem));
process.exit(problems.length ? 1 : 0);

/** What TypeScript finds when each object is written as a literal of its type, a line each. */
function typeErrors(things) {
  const literals = things.map((thing) => {
    const version = thing.apiVersion.split('/')[1];
    return `(${JSON.stringify(thing)}) satisfies import('${MODULES[thing.apiVersion]}').${version}.I${thing.kind};\n`;
  });
  const folder = mkdtempSync(new URL('node_modules/.objects-', import.meta.url).pathname);
  try {
    const file = join(folder, 'objects.ts');
    writeFileSync(file, literals.join(''));
    const flags = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'esnext', '--pretty', 'false'];
    const { status, stdout } = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', ...flags, file], {
      cwd: new URL('.', import.meta.url).pathname,
      encoding: 'utf8',
    });
    const found = stdout.replace(/^.*objects\.ts\((\d+),\d+\)/gm, (_, line) => title(things[line - 1]));
    return status === 0 ? [] : [found];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function title(thing) {
  return `${thing.kind} ${thing.metadata.name}`;
}

/** What the schemas find. */
async function schemaErrors(things) {
  const found = [];
  for (const thing of things) {
    const models = await import(MODULES[thing.apiVersion]);
    const Model = models[thing.apiVersion.split('/')[1]][thing.kind];
    try {
      new Model(thing).validate();
    } catch (error) {
      found.push(`${title(thing)}: ${error.message}`);
    }
  }
  return found;
}
