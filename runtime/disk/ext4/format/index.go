package format

// The index of a directory is a tree of hashes over its blocks. Its root is the directory's first block, behind the
// entries of the directory itself and its parent; other nodes begin with an empty entry. A node has pairs of hash and
// block, 4 bytes each; the first one's hash gives way to the node's limit and count of pairs, 2 bytes each.
const (
	IndexHash   = 28 // in the root: version of the hash
	IndexInfo   = 29 // in the root: IndexInfoSize
	IndexLevels = 30 // in the root: levels of nodes below it
	IndexFlags  = 31 // in the root
	IndexRoot   = 32 // where the root's pairs begin
	IndexNode   = 8  // where the pairs of other nodes begin
	IndexCount  = 2  // from where pairs begin
	IndexPair   = 8
	IndexTail   = 8 // behind as many pairs as there may be: 4 bytes of nothing, checksum

	IndexInfoSize = 8 // of what the root says of its index, up to its pairs
)

// IndexPairs are the pairs of a node, in its block from where they begin on.
type IndexPairs []byte

const indexBlockMask = 1<<28 - 1

// Limit is how many there may be.
func (p IndexPairs) Limit() int { return int(LE.Uint16(p)) }

// Count is how many there are.
func (p IndexPairs) Count() int { return int(LE.Uint16(p[IndexCount:])) }

// Hash of a pair; of the first it is nothing.
func (p IndexPairs) Hash(i int) uint32 { return LE.Uint32(p[IndexPair*i:]) }

// Child is the block of the directory that a pair leads to.
func (p IndexPairs) Child(i int) uint32 { return LE.Uint32(p[IndexPair*i+4:]) & indexBlockMask }

// IndexLimit is how many pairs a node holds whose pairs begin at base.
func IndexLimit(block, base int, csums bool) int {
	if csums {
		block -= IndexTail
	}
	return (block - base) / IndexPair
}
