"""Event data sets: readers, downloads, a cache, and simulated recordings that need no download."""

from snnsim.datasets.audio import read_audio as read_audio
from snnsim.datasets.cache import cached as cached
from snnsim.datasets.cache import fingerprint as fingerprint
from snnsim.datasets.camera import SaccadeCamera as SaccadeCamera
from snnsim.datasets.dataset import EventDataset as EventDataset
from snnsim.datasets.digits import load_digits_events as load_digits_events
from snnsim.datasets.download import download as download
from snnsim.datasets.download import fetch as fetch
from snnsim.datasets.ear import BushyCell as BushyCell
from snnsim.datasets.ear import HairCell as HairCell
from snnsim.datasets.ear import InnerEar as InnerEar
from snnsim.datasets.folders import data_folder as data_folder
from snnsim.datasets.manifest import DATASETS as DATASETS
from snnsim.datasets.manifest import DatasetCard as DatasetCard
from snnsim.datasets.manifest import RemoteFile as RemoteFile
from snnsim.datasets.membrane import BasilarMembrane as BasilarMembrane
from snnsim.datasets.nmnist import load_nmnist as load_nmnist
from snnsim.datasets.nmnist import read_nmnist_bin as read_nmnist_bin
from snnsim.datasets.recordings import convert_recordings as convert_recordings
from snnsim.datasets.recordings import write_spoken as write_spoken
