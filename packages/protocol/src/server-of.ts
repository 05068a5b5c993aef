/** The parts of an address as socket.io needs them: it puts the namespace after the origin, and finds the server by a path. */
export interface ServerPlace {
  uri: string
  path: string
}

/**
 * Where socket.io finds a gateway, or the socket of a task or a host at it. The part before `/tasks/<id>`, `/hosts/<worker>` or
 * `/relay/…` is the base path of that gateway: `https://host/fleet/tasks/<id>`.
 *
 * @throws {TypeError} for an invalid address
 */
export function serverOf(address: string): ServerPlace {
  const { origin, pathname } = new URL(address)
  const [, base = '', namespace = ''] =
    /^(.*?)(\/(?:tasks|relay)\/[0-9a-f]{24}|(?:\/relay)?\/hosts\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})?\/*$/.exec(
      pathname,
    ) ?? []
  return { uri: `${origin}${namespace}`, path: `${base.replace(/\/+$/, '')}/socket.io` }
}
