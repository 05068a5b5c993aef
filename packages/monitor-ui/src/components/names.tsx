import { Fragment, type ReactNode } from 'react'
import { Foreign } from './foreign.tsx'

interface Props {
  names: readonly string[]
  /** The most that are shown. */
  most: number
  children?: (name: string) => ReactNode
}

/** `a, b and 3 more`. */
export function Names({ names, most, children = (name) => <Foreign text={name} max={60} /> }: Props) {
  return (
    <>
      {names.slice(0, most).map((name, index) => (
        <Fragment key={name}>
          {index > 0 && ', '}
          {children(name)}
        </Fragment>
      ))}
      {names.length > most && <span className="text-dim"> and {names.length - most} more</span>}
    </>
  )
}
