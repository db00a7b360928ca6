package cli

import "github.com/spf13/cobra"

// storageTopic is what `microagent help storage` says.
func (a *app) storageTopic() *cobra.Command {
	return &cobra.Command{
		Use: "storage", Short: "how data gets in and out", GroupID: groupHost,
		Long: `A guest sees block devices: no folder of the host is ever shared into it. Data moves
through one of five declared ways.

  You want                                               Use
  data that outlives any workspace, reattached by name   a named volume   (microagent volume, -v data:/work)
  an ext4 image you build or manage yourself             a disk           (--disk name=./x.ext4:/mount:rw)
  a host directory's contents, read in at start          a bundle         (--bundle name=./x.tar:/mount:ro)
  one file in or out of a stopped workspace              cp               (microagent cp ./f scratch:/etc/f)
  declared result files out of a run                     an output        (--output name=/path)

The short form -v takes three of them: a bare name is a volume, .tar .tar.gz .tgz is a bundle, .ext4 .img is a
disk. A directory is refused.

A volume has one writer at a time. It outlives workspaces, manifests, crashes and --yes, and is deleted only by
volume delete NAME, or where --allow-data-loss=volume/NAME names it. A root file system is no volume: when its image
changes it is replaced, plan says so, and the one before is kept until the next replacement or prune, as is that of
a workspace which is reset, or of a project's which is deleted. restore NAME brings it back.`,
	}
}
