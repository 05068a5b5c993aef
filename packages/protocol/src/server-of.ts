/** What socket.io needs of an address: the namespace comes behind the origin, and the server is found by a path. */
export interface ServerPlace {
  uri: string
  path: string
}

/**
 * Where socket.io finds a gateway, or a task's socket at one. What comes before `/tasks/<id>` or `/relay/<id>` is the path below
 * which that gateway lies: `https://host/fleet/tasks/<id>`.
 *
 * @throws {TypeError} for what is no address
 */
export function serverOf(address: string): ServerPlace {
  const { origin, pathname } = new URL(address)
  const [, base = '', namespace = ''] = /^(.*?)(\/(?:tasks|relay)\/[0-9a-f]{24})?\/*$/.exec(pathname) ?? []
  return { uri: `${origin}${namespace}`, path: `${base.replace(/\/+$/, '')}/socket.io` }
}
