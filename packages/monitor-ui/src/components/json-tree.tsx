import { Check, ChevronRight, Copy as CopyIcon, type LucideIcon, Route } from 'lucide-react'
import { useEffect, useState } from 'react'
import { formatCount } from '../view/counts.ts'
import {
  childrenOf,
  copyText,
  countTo,
  type JsonKind,
  type JsonPath,
  kindOf,
  pathText,
  sizeOf,
} from '../view/json-tree.ts'
import { safeLink, visibleLine, visibleText } from '../view/text.ts'
import { LinkButton } from './button.tsx'
import { Foreign } from './foreign.tsx'
import { ScrollRegion } from './scroll-region.tsx'

/** How many values of a list or object are shown at first, and with each request for more. */
const PAGE = 50
const LONG_TEXT = 300
const LONGEST_TEXT = 300_000
/** A value with fewer values than this in its first levels is shown open. */
const OPEN_UP_TO = 60
const COPIED_MS = 1_500

const TONE: Record<JsonKind, string> = {
  object: 'text-dim',
  list: 'text-dim',
  text: 'text-done',
  number: 'text-run',
  other: 'text-block',
}

interface Props {
  value: unknown
  /** What paths begin with, such as `input`. */
  root: string
  label: string
}

/** A value as a tree to open and close, with its paths and values to copy. Foreign: all of it is shown as text. */
export function JsonTree({ value, root, label }: Props) {
  const depth = countTo(value, 2, OPEN_UP_TO) < OPEN_UP_TO ? 2 : 1
  return (
    <ScrollRegion label={`${label} as JSON`} className="code max-h-[60dvh] leading-relaxed">
      <Node value={value} root={root} path={[]} depth={depth} />
    </ScrollRegion>
  )
}

interface NodeProps {
  value: unknown
  root: string
  path: JsonPath
  /** How many levels are open at first. */
  depth: number
}

function Node({ value, root, path, depth }: NodeProps) {
  const [open, setOpen] = useState(depth > 0)
  const [limit, setLimit] = useState(PAGE)
  const size = sizeOf(value)
  const kind = kindOf(value)
  const name = path.at(-1)
  const isFolder = size > 0
  return (
    <>
      <div className="group/node relative flex items-start gap-1 rounded hover:bg-panel/70">
        {isFolder ? (
          <button
            type="button"
            aria-expanded={open}
            aria-label={`${open ? 'Close' : 'Open'} ${visibleLine(pathText(root, path), 80)}`}
            className="-my-0.5 shrink-0 rounded p-1 text-dim hover:text-text"
            onClick={() => setOpen(!open)}
          >
            <ChevronRight size={12} aria-hidden className={open ? 'rotate-90' : ''} />
          </button>
        ) : (
          <span className="w-5 shrink-0" />
        )}
        <span className="min-w-0 flex-1">
          {name !== undefined && (
            <>
              {typeof name === 'number' ? (
                <span className="text-dim">{name}</span>
              ) : (
                <Foreign text={name === '' ? '""' : name} max={120} className="font-semibold" />
              )}
              <span className="text-dim">: </span>
            </>
          )}
          {isFolder || kind === 'object' || kind === 'list' ? (
            <span className="text-dim">
              {kind === 'list' ? `[${formatCount(size)}]` : `{${formatCount(size)}}`}
              {isFolder && !open && ' …'}
            </span>
          ) : (
            <Leaf value={value} kind={kind} />
          )}
        </span>
        <span className="flex shrink-0 pointer-coarse:-my-1 pointer-fine:absolute pointer-fine:top-0 pointer-fine:right-0 pointer-fine:rounded pointer-fine:bg-raised pointer-fine:opacity-0 pointer-fine:group-focus-within/node:opacity-100 pointer-fine:group-hover/node:opacity-100">
          <CopyButton
            icon={Route}
            label={`Copy the path ${visibleLine(pathText(root, path), 80)}`}
            text={() => pathText(root, path)}
          />
          <CopyButton
            icon={CopyIcon}
            label={`Copy the value of ${visibleLine(pathText(root, path), 80)}`}
            text={() => copyText(value)}
          />
        </span>
      </div>
      {isFolder && open && (
        <ul className="ml-2.5 border-l border-line pl-1.5">
          {childrenOf(value, limit).map(([child, below]) => (
            <li key={child}>
              <Node value={below} root={root} path={[...path, child]} depth={depth - 1} />
            </li>
          ))}
          {size > limit && (
            <li className="pl-5 font-sans">
              <LinkButton className="text-xs" onClick={() => setLimit(limit + PAGE)}>
                Show {formatCount(Math.min(PAGE, size - limit))} of {formatCount(size - limit)} more
              </LinkButton>
            </li>
          )}
        </ul>
      )}
    </>
  )
}

function Leaf({ value, kind }: { value: unknown; kind: JsonKind }) {
  const [all, setAll] = useState(false)
  if (typeof value !== 'string') return <span className={TONE[kind]}>{visibleLine(String(value), 60)}</span>
  const link = safeLink(value)
  if (link !== undefined)
    return (
      <a href={link} target="_blank" rel="noreferrer noopener" className="break-all text-run hover:underline">
        <Foreign text={value} max={LONG_TEXT} />
      </a>
    )
  const isLong = value.length > LONG_TEXT
  return (
    <>
      <bdi className={TONE.text}>"{all ? visibleText(value, LONGEST_TEXT) : visibleLine(value, LONG_TEXT)}"</bdi>
      {isLong && !all && (
        <LinkButton className="ml-1 font-sans text-xs" onClick={() => setAll(true)}>
          Show all {formatCount(value.length)} characters
        </LinkButton>
      )}
    </>
  )
}

function CopyButton({ icon, label, text }: { icon: LucideIcon; label: string; text: () => string }) {
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return
    const timer = setTimeout(() => setCopied(false), COPIED_MS)
    return () => clearTimeout(timer)
  }, [copied])
  const Icon = copied ? Check : icon
  return (
    <button
      type="button"
      className="rounded p-1 text-dim hover:bg-raised hover:text-text"
      aria-label={label}
      title={label}
      onClick={() => {
        navigator.clipboard?.writeText(text()).then(
          () => setCopied(true),
          () => setCopied(false),
        )
      }}
    >
      <Icon size={12} aria-hidden />
      <span className="sr-only" role="status">
        {copied ? 'Copied' : ''}
      </span>
    </button>
  )
}
