"""The public data sets that can be downloaded by name: where they are, what they must be, what their makers allow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """One file to fetch; it holds one folder."""

    name: str
    folder: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """A public data set: where its archives are, what they must be, and what its makers allow."""

    title: str
    homepage: str
    bases: tuple[str, ...]  # folders that hold every archive, asked in this order
    archives: tuple[Archive, ...]
    licence: str
    terms: str
    citation: str

    @property
    def size(self) -> int:
        """Bytes of all archives."""
        return sum(archive.size for archive in self.archives)


# Addresses: the first is what the homepage links to, the second torchvision's (torchvision/datasets/oxford_iiit_pet.py),
# both lead to the third. Sizes and SHA-256: TensorFlow Datasets (datasets/oxford_iiit_pet/checksums.tsv); the SHA-256 are
# also torchvision's own (prototype/datasets/_builtin/oxford_iiit_pet.py), whose released loader names the same files by
# MD5 5c4f3ee8e5d25df40f4fd59a7f44e54c (images) and 95a8c909bbe2e81eed6a22bccdf3f68f (annotations).
DOWNLOADS: dict[str, Source] = {
    "oxford-pet": Source(
        title="Oxford-IIIT Pet",
        homepage="https://www.robots.ox.ac.uk/~vgg/data/pets/",
        bases=(
            "https://thor.robots.ox.ac.uk/~vgg/data/pets",
            "https://www.robots.ox.ac.uk/~vgg/data/pets/data",
            "https://thor.robots.ox.ac.uk/pets",
        ),
        archives=(
            Archive(
                name="images.tar.gz",
                folder="images",
                size=791_918_971,
                sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
            ),
            Archive(
                name="annotations.tar.gz",
                folder="annotations",
                size=19_173_078,
                sha256="52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
            ),
        ),
        licence="CC BY-SA 4.0",
        terms=(
            "Creative Commons Attribution-ShareAlike 4.0 International, https://creativecommons.org/licenses/by-sa/4.0/\n"
            "The copyright remains with the original owners of the images.\n"
            "So the homepage says; annotations/README, which is older, says: for research purposes only, respecting the terms\n"
            "of the websites the images are from."
        ),
        citation=(
            "O. M. Parkhi, A. Vedaldi, A. Zisserman, C. V. Jawahar: Cats and Dogs.\n"
            "IEEE Conference on Computer Vision and Pattern Recognition, 2012."
        ),
    ),
}
