package ext4

const (
	superSize   = 1024
	superOffset = 1024
	superMagic  = 0xEF53
)

// Feature bits, each in its own set.
const (
	compatJournal  = 0x4
	compatXattr    = 0x8
	compatDirIndex = 0x20

	incompatFiletype   = 0x2
	incompatRecover    = 0x4
	incompatJournalDev = 0x8
	incompatMetaBG     = 0x10
	incompatExtents    = 0x40
	incompat64Bit      = 0x80
	incompatMMP        = 0x100
	incompatFlexBG     = 0x200
	incompatCsumSeed   = 0x2000
	incompatLargeDir   = 0x4000
	incompatXattrInode = 0x400
	incompatInline     = 0x8000
	incompatCrypt      = 0x10000
	incompatCasefold   = 0x20000

	roSparseSuper = 0x1
	roLargeFile   = 0x2
	roHugeFile    = 0x8
	roGdtCsum     = 0x10
	roBigalloc    = 0x200
	roDirNlink    = 0x20
	roExtraIsize  = 0x40
	roMetaCsum    = 0x400
)

const (
	stateClean      = 1
	errorsRemountRO = 2
	hashHalfMD4     = 1
	flagSignedHash  = 1
	mountXattrACL   = 0xC // user_xattr, acl
	journalBackup   = 1   // s_jnl_blocks holds block map and size
)

// superblock is the part of ext4's superblock that both halves use. Fields without a name here keep what raw
// holds.
type superblock struct {
	raw [superSize]byte

	inodes, freeInodes   uint32
	blocks, freeBlocks   uint64
	firstDataBlock       uint32
	logBlockSize         uint32
	perGroup             uint32 // blocks
	inodesPerGroup       uint32
	wtime, mkfsTime      int64
	state                uint16
	group                uint16 // of this copy
	inodeSize            uint16
	descSize             uint16
	compat, incompat, ro uint32
	uuid, hashSeed       [16]byte
	label                [16]byte
	journalIno           uint32
	defaultHash          uint8
	flags                uint32
	checksumSeed         uint32
	logFlex              uint8
	firstMetaBG          uint32
	lastOrphan           uint32
	journalBlocks        [17]uint32
	firstIno, rev        uint32
}

// put writes all fields and the checksum to raw.
func (s *superblock) put() []byte {
	b := s.raw[:]
	le.PutUint32(b[0x00:], s.inodes)
	le.PutUint32(b[0x04:], uint32(s.blocks))
	le.PutUint32(b[0x0C:], uint32(s.freeBlocks))
	le.PutUint32(b[0x10:], s.freeInodes)
	le.PutUint32(b[0x14:], s.firstDataBlock)
	le.PutUint32(b[0x18:], s.logBlockSize)
	le.PutUint32(b[0x1C:], s.logBlockSize) // clusters are blocks
	le.PutUint32(b[0x20:], s.perGroup)
	le.PutUint32(b[0x24:], s.perGroup)
	le.PutUint32(b[0x28:], s.inodesPerGroup)
	le.PutUint32(b[0x30:], uint32(s.wtime))
	le.PutUint16(b[0x38:], superMagic)
	le.PutUint16(b[0x3A:], s.state)
	le.PutUint32(b[0x4C:], s.rev)
	le.PutUint32(b[0x54:], s.firstIno)
	le.PutUint16(b[0x58:], s.inodeSize)
	le.PutUint16(b[0x5A:], s.group)
	le.PutUint32(b[0x5C:], s.compat)
	le.PutUint32(b[0x60:], s.incompat)
	le.PutUint32(b[0x64:], s.ro)
	copy(b[0x68:], s.uuid[:])
	copy(b[0x78:], s.label[:])
	le.PutUint32(b[0xE0:], s.journalIno)
	le.PutUint32(b[0xE8:], s.lastOrphan)
	copy(b[0xEC:], s.hashSeed[:])
	b[0xFC] = s.defaultHash
	le.PutUint16(b[0xFE:], s.descSize)
	le.PutUint32(b[0x104:], s.firstMetaBG)
	le.PutUint32(b[0x108:], uint32(s.mkfsTime))
	for i, w := range s.journalBlocks {
		le.PutUint32(b[0x10C+4*i:], w)
	}
	le.PutUint32(b[0x150:], uint32(s.blocks>>32))
	le.PutUint32(b[0x158:], uint32(s.freeBlocks>>32))
	le.PutUint32(b[0x160:], s.flags)
	b[0x174] = s.logFlex
	b[0x274] = byte(s.wtime >> 32)
	b[0x276] = byte(s.mkfsTime >> 32)
	le.PutUint32(b[0x270:], s.checksumSeed)
	if s.ro&roMetaCsum != 0 {
		le.PutUint32(b[0x3FC:], crc(^uint32(0), b[:0x3FC]))
	}
	return b
}

// parse reads the fields out of raw. It says whether the magic is right and judges nothing else.
func (s *superblock) parse() bool {
	b := s.raw[:]
	s.inodes = le.Uint32(b[0x00:])
	s.blocks = uint64(le.Uint32(b[0x04:]))
	s.freeBlocks = uint64(le.Uint32(b[0x0C:]))
	s.freeInodes = le.Uint32(b[0x10:])
	s.firstDataBlock = le.Uint32(b[0x14:])
	s.logBlockSize = le.Uint32(b[0x18:])
	s.perGroup = le.Uint32(b[0x20:])
	s.inodesPerGroup = le.Uint32(b[0x28:])
	s.wtime = int64(le.Uint32(b[0x30:])) | int64(b[0x274])<<32
	s.state = le.Uint16(b[0x3A:])
	s.rev = le.Uint32(b[0x4C:])
	s.firstIno, s.inodeSize = 11, 128
	if s.rev > 0 {
		s.firstIno = le.Uint32(b[0x54:])
		s.inodeSize = le.Uint16(b[0x58:])
	}
	s.group = le.Uint16(b[0x5A:])
	s.compat = le.Uint32(b[0x5C:])
	s.incompat = le.Uint32(b[0x60:])
	s.ro = le.Uint32(b[0x64:])
	copy(s.uuid[:], b[0x68:])
	copy(s.label[:], b[0x78:])
	s.journalIno = le.Uint32(b[0xE0:])
	s.lastOrphan = le.Uint32(b[0xE8:])
	copy(s.hashSeed[:], b[0xEC:])
	s.defaultHash = b[0xFC]
	s.descSize = 32
	if s.incompat&incompat64Bit != 0 {
		s.descSize = le.Uint16(b[0xFE:])
		s.blocks |= uint64(le.Uint32(b[0x150:])) << 32
		s.freeBlocks |= uint64(le.Uint32(b[0x158:])) << 32
	}
	s.firstMetaBG = le.Uint32(b[0x104:])
	s.mkfsTime = int64(le.Uint32(b[0x108:])) | int64(b[0x276])<<32
	for i := range s.journalBlocks {
		s.journalBlocks[i] = le.Uint32(b[0x10C+4*i:])
	}
	s.flags = le.Uint32(b[0x160:])
	s.logFlex = b[0x174]
	s.checksumSeed = le.Uint32(b[0x270:])
	return le.Uint16(b[0x38:]) == superMagic
}

// checksumOK verifies the superblock's own checksum; without metadata_csum there is none.
func (s *superblock) checksumOK() bool {
	return s.ro&roMetaCsum == 0 || le.Uint32(s.raw[0x3FC:]) == crc(^uint32(0), s.raw[:0x3FC])
}

// seed begins every other checksum.
func (s *superblock) seed() uint32 {
	if s.incompat&incompatCsumSeed != 0 {
		return s.checksumSeed
	}
	return crc(^uint32(0), s.uuid[:])
}

// hasSuper says whether group keeps a copy of superblock and descriptors under sparse_super: 0, 1 and the
// powers of 3, 5 and 7.
func hasSuper(group uint64) bool {
	if group <= 1 {
		return true
	}
	if group%2 == 0 {
		return false
	}
	for _, base := range []uint64{3, 5, 7} {
		p := base
		for p < group {
			p *= base
		}
		if p == group {
			return true
		}
	}
	return false
}
